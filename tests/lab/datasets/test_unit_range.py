"""Black is 0 and white is 1."""

from pathlib import Path
from typing import Any

import pytest
import torch

from lab.datasets.unit_range import in_unit_range
from labwright.datasets import DigitsDataArgs, MnistDataArgs


@pytest.mark.parametrize(("dataset", "white"), [(DigitsDataArgs(), 16), (MnistDataArgs(source="digits"), 255)])
def test_images_are_stored_ones_over_white_and_the_dataset_stays_as_it_was(
    dataset: Any, white: int, tmp_path: Path
) -> None:
    splits = dataset.build(tmp_path)
    before = splits.train["train"][3]["input"]
    rescaled = in_unit_range(splits)
    for name, part in (("train", rescaled.train), ("val", rescaled.val), ("test", rescaled.test)):
        images: Any = part[name]
        torch.testing.assert_close(images[3]["input"], images.inputs[3] / white)
    assert torch.equal(splits.train["train"][3]["input"], before) and before.min() < 0
    assert rescaled.name == splits.name and rescaled.fingerprint == splits.fingerprint
