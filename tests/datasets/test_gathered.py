"""A sample is what its batch has of it, and a batch is gathered before it is finished."""

from typing import Any

import pytest
import torch

from labwright.datasets.gathered import Gathered
from labwright.datasets.splits import Batch


class Squares(Gathered):
    """The squares of 0 to 3, by their roots as they are stored."""

    def __len__(self) -> int:
        return 4

    def gather(self, indices: Any) -> Batch:
        return {"input": torch.as_tensor(indices), "source": ["squares"] * len(indices)}

    def finish(self, batch: Batch) -> Batch:
        return batch | {"input": batch["input"] ** 2}  # pyright: ignore[reportOperatorIssue]


def test_a_batch_is_gathered_and_finished() -> None:
    batch: Any = Squares().__getitems__([3, 1])
    assert batch["input"].tolist() == [9, 1]


def test_a_sample_says_its_index_and_a_loop_over_samples_ends() -> None:
    assert Squares()[2] == {"input": 4, "source": "squares", "index": 2}
    assert [sample["input"] for sample in Squares()] == [0, 1, 4, 9]
    with pytest.raises(IndexError, match="sample -1 of 4"):
        Squares()[-1]
