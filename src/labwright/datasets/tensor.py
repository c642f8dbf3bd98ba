"""Datasets held in memory, and parts of any dataset."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from .splits import Batch, Dataset, Splits, fingerprint, get_sample, hold_out, split_indices

Indices = Sequence[int] | Tensor | np.ndarray


class TensorDataset:
    """Inputs and targets in two tensors; a batch is one `index_select` of each.

    Inputs are kept as they come (images as uint8) and become float32 as `(input - mean) / std` when batched, with
    `mean` and `std` in the stored units. `source` names where the samples come from and `source_indices` their
    positions there, so that two datasets can tell whether they share samples.
    """

    draws_random_numbers = False
    """Loaders seed what a dataset may draw, batch by batch; this one needs none of it."""

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        source: str,
        source_indices: Tensor | None = None,
        mean: float = 0.0,
        std: float = 1.0,
    ) -> None:
        if len(inputs) != len(targets):
            raise ValueError(f"{source}: {len(inputs):,} inputs but {len(targets):,} targets")
        self.inputs = inputs
        self.targets = targets
        self.source = source
        self.source_indices = torch.arange(len(inputs)) if source_indices is None else source_indices
        self.mean = mean
        self.std = std

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.inputs.shape[1:])

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")  # what ends `for sample in dataset`
        sample = {"input": self._prepare(self.inputs[index]), "target": self.targets[index]}
        return sample | {"index": index, "source": self.source}

    def __getitems__(self, indices: Indices) -> Batch:
        index = torch.as_tensor(indices, dtype=torch.int64)
        return {
            "input": self._prepare(self.inputs.index_select(0, index)),
            "target": self.targets.index_select(0, index),
            "index": index,
            "source": [self.source] * len(index),
        }

    def _prepare(self, inputs: Tensor) -> Tensor:
        if self.mean == 0.0 and self.std == 1.0:
            return inputs.float()
        return inputs.to(torch.float32, copy=True).sub_(self.mean).mul_(1.0 / self.std)

    def subset(self, indices: Indices) -> "TensorDataset":
        """The samples at these positions, which remember where they came from."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        return TensorDataset(
            self.inputs.index_select(0, index),
            self.targets.index_select(0, index),
            source=self.source,
            source_indices=self.source_indices.index_select(0, index),
            mean=self.mean,
            std=self.std,
        )

    def take(self, num_samples: int, seed: int = 0) -> "TensorDataset":
        """`num_samples` of them (all, if there are no more), drawn by `seed`, stratified where targets are classes."""
        if num_samples >= len(self):
            return self
        labels = self.targets.numpy() if _are_classes(self.targets) else len(self)
        _, chosen = split_indices(labels, [num_samples / len(self)], seed)
        return self.subset(chosen)


def split_tensors(
    data: TensorDataset,
    *,
    name: str,
    val_fraction: float,
    test_fraction: float,
    seed: int,
    class_names: tuple[str, ...] = (),
    is_image: bool = False,
    warnings: tuple[str, ...] = (),
) -> Splits:
    """Train, val and test sets drawn by `seed`, stratified where the targets are classes (integers in one dimension).

    Classes count from 0; other targets are the columns of a regression. A fraction of 0 leaves that set out.
    """
    targets = data.targets
    is_classes = _are_classes(targets)
    train, val, test = hold_out(
        targets.numpy() if is_classes else len(data), val_fraction=val_fraction, test_fraction=test_fraction, seed=seed
    )
    return Splits(
        train={"train": data.subset(train)},
        val={"val": data.subset(val)} if len(val) else {},
        test={"test": data.subset(test)} if len(test) else {},
        name=name,
        task="classification" if is_classes else "regression",
        num_outputs=len(class_names) or (int(targets.max()) + 1 if is_classes else targets[0].numel()),
        class_names=class_names,
        is_image=is_image,
        warnings=warnings,
        fingerprint=fingerprint(data.inputs.numpy(), targets.numpy()),
    )


def _are_classes(targets: Tensor) -> bool:
    return targets.ndim == 1 and not targets.is_floating_point()


class DatasetView:
    """The samples of any dataset at these positions. Refers to the dataset, copies nothing."""

    def __init__(self, dataset: Dataset, indices: Indices) -> None:
        self.dataset = dataset
        self.indices = torch.as_tensor(indices, dtype=torch.int64)
        # without a named source, the wrapped object is the source: two views of it can still share samples
        self.source: str = getattr(dataset, "source", f"{type(dataset).__name__} at {id(dataset):#x}")
        base = getattr(dataset, "source_indices", None)
        self.source_indices = self.indices if base is None else base[self.indices]
        self.draws_random_numbers: bool = getattr(dataset, "draws_random_numbers", True)
        if hasattr(dataset, "__getitems__"):  # on the instance, as loaders ask each dataset whether it has one
            self.__getitems__ = self._get_batch

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return _with_index(get_sample(self.dataset, int(self.indices[index])), index)

    def _get_batch(self, indices: Indices) -> Any:
        index = torch.as_tensor(indices, dtype=torch.int64)
        base: Any = self.dataset
        batch = base.__getitems__(self.indices[index].tolist())
        if isinstance(batch, list):
            return [_with_index(sample, position) for sample, position in zip(batch, index.tolist(), strict=True)]
        return _with_index(batch, index)


def _with_index(sample: Any, index: int | Tensor) -> Any:
    """The sample or batch, its `index` (if it says one) counted in the view."""
    return sample | {"index": index} if isinstance(sample, dict) and "index" in sample else sample


def limit(dataset: Dataset, num_samples: int, seed: int = 0) -> Dataset:
    """The dataset, or `num_samples` of it drawn by `seed` if it has more: by its own `take(n, seed)` if it has one."""
    if num_samples >= len(dataset):
        return dataset
    take = getattr(dataset, "take", None)
    if take is not None:
        return take(num_samples, seed)
    _, chosen = split_indices(len(dataset), [num_samples / len(dataset)], seed)
    return DatasetView(dataset, chosen)
