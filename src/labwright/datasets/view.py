"""Parts of any dataset. No torch of its own."""

from typing import TYPE_CHECKING, Any

import numpy as np

from .provenance import Part
from .splits import Dataset, draw, get_sample, input_shape

if TYPE_CHECKING:
    from torch import Tensor

    from .splits import Indices


class DatasetView:
    """The samples of any dataset at these positions. Refers to the dataset, copies nothing."""

    def __init__(self, dataset: Dataset, indices: "Indices") -> None:
        self.dataset = dataset
        self.indices = np.asarray(indices, dtype=np.int64)
        self.draws_random_numbers: bool = getattr(dataset, "draws_random_numbers", True)
        if hasattr(dataset, "__getitems__"):  # on the instance, as loaders ask each dataset whether it has one
            self.__getitems__ = self._get_batch

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return input_shape(self.dataset)

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each sample, where the dataset knows groups."""
        groups = getattr(self.dataset, "groups", None)
        return None if groups is None else groups[self.indices]

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return _with_index(get_sample(self.dataset, int(self.indices[index])), index)

    def _get_batch(self, indices: "Indices") -> Any:
        import torch

        index = torch.as_tensor(indices, dtype=torch.int64)
        base: Any = self.dataset
        batch = base.__getitems__(self.indices[index.numpy()].tolist())
        if isinstance(batch, list):
            return [_with_index(sample, position) for sample, position in zip(batch, index.tolist(), strict=True)]
        return _with_index(batch, index)

    def locate(self, positions: np.ndarray) -> list[Part]:
        """Where the samples at these positions come from."""
        return [Part(self.dataset, self.indices[positions], np.arange(len(positions)))]


def _with_index(sample: Any, index: "int | Tensor") -> Any:
    """The sample or batch, its `index` (if it says one) counted in the view."""
    return sample | {"index": index} if isinstance(sample, dict) and "index" in sample else sample


def limit(dataset: Dataset, num_samples: int, seed: int = 0) -> Dataset:
    """The dataset, or `num_samples` of it drawn by `seed` if it has more: by its own `take(n, seed)` if it has one.

    Where samples have groups, they stay whole: at most `num_samples`, or the smallest group if every one is larger.
    """
    if num_samples >= len(dataset):
        return dataset
    take = getattr(dataset, "take", None)
    if take is not None:
        return take(num_samples, seed)
    groups = getattr(dataset, "groups", None)
    return DatasetView(dataset, draw(len(dataset), num_samples, seed, groups=groups))
