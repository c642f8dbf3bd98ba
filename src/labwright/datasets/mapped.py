"""Datasets whose batches go through a function."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from labwright.args import UserError

from .batches import PROVENANCE, fetch
from .provenance import Part
from .splits import Batch, Dataset, get_sample
from .view import limit

BatchFunction = Callable[[dict[str, Any]], dict[str, Any]]


class MappedDataset:
    """The batches of a dataset as `function` returns them; see `map_dataset`."""

    def __init__(self, dataset: Dataset, function: BatchFunction, *, draws_random_numbers: bool = False) -> None:
        self.dataset = dataset
        self.function = function
        self._draws_itself = draws_random_numbers
        self.draws_random_numbers: bool = draws_random_numbers or getattr(dataset, "draws_random_numbers", True)

    def __len__(self) -> int:
        return len(self.dataset)

    @property
    def groups(self) -> np.ndarray | None:
        return getattr(self.dataset, "groups", None)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return get_sample(self, index) | {"index": index}

    def __getitems__(self, indices: list[int]) -> Batch:
        index = torch.as_tensor(indices, dtype=torch.int64)
        batch = {"index": index, **fetch(self.dataset, index.tolist())}
        provenance = {key: batch[key] for key in PROVENANCE if key in batch}
        mapped: Any = self.function(batch)
        if not isinstance(mapped, dict):
            raise UserError(
                f"a function given to map_dataset has to return the batch, a dict; this one returned a "
                f"{type(mapped).__name__}"
            )
        return {**mapped, **provenance}

    def take(self, num_samples: int, seed: int = 0) -> Dataset:
        """`num_samples` of them, as the dataset underneath chooses."""
        return MappedDataset(
            limit(self.dataset, num_samples, seed), self.function, draws_random_numbers=self._draws_itself
        )

    def locate(self, positions: np.ndarray) -> list[Part]:
        """Where the samples at these positions come from: a changed sample is still the same one."""
        return [Part(self.dataset, positions, np.arange(len(positions)))]


def map_dataset(dataset: Dataset, function: BatchFunction, *, draws_random_numbers: bool = False) -> MappedDataset:
    """The dataset with its batches changed by `function`: noise added, labels predicted, images augmented.

    `function` takes a whole batch and returns one with the same samples in the same order, under any keys; where they
    are from (`index`, `source`) is kept. Say `draws_random_numbers=True` if it
    draws any, so that they follow from seed, epoch and batch. The overlap check sees the samples underneath: a sample
    trained on is not a new one for having noise on it.
    """
    return MappedDataset(dataset, function, draws_random_numbers=draws_random_numbers)
