"""Datasets held in memory."""

from collections.abc import Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from .gathered import Gathered
from .splits import Batch, Splits, draw, fingerprint, hold_out

if TYPE_CHECKING:
    from .splits import Indices


def scaled(inputs: Tensor, mean: float, std: float) -> Tensor:
    """The inputs, which may be overwritten, as float32 `(input - mean) / std`."""
    inputs = inputs.float()
    if mean != 0.0:
        inputs = inputs.sub_(mean)
    return inputs if std == 1.0 else inputs.mul_(1.0 / std)


class InputDataset(Gathered):
    """Inputs in one tensor, without targets: what is to be predicted, or not labelled yet.

    They are kept as they come (images as uint8) and become float32 as `(input - mean) / std` when batched, with `mean`
    and `std` in the stored units. `source` names where the samples come from and `source_indices` their positions
    there, so that two datasets can tell whether they share samples. `groups` names the group of each sample, which
    splits and limits keep whole; `names` are the samples' own, shown in batches as `name`.
    """

    draws_random_numbers = False
    """Loaders seed what a dataset may draw, batch by batch; this one needs none of it."""
    takes_tensors = True
    """Loaders call `gather` with a tensor of positions, and `finish` when the batch lies where it is worked on. A
    subclass with a `__getitems__` of its own is asked by that, with a list."""
    warnings: tuple[str, ...] = ()
    """What whoever predicts for them should be told of them."""

    def __init_subclass__(cls) -> None:
        cls.takes_tensors = cls.takes_tensors and "__getitems__" not in vars(cls)

    def __init__(
        self,
        inputs: Tensor,
        *,
        source: str,
        source_indices: Tensor | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        groups: Sequence[Any] | np.ndarray | None = None,
        names: Sequence[str] | np.ndarray | None = None,
    ) -> None:
        self.inputs = inputs
        self.source = source
        self.source_indices = torch.arange(len(inputs)) if source_indices is None else source_indices
        self.mean = mean
        self.std = std
        self.groups = None if groups is None else np.asarray(groups)
        self.names = None if names is None else np.asarray(names, dtype=object)
        for what, values in self.per_sample().items():
            if len(values) != len(inputs):
                raise ValueError(f"{source}: {len(inputs):,} inputs but {len(values):,} {what.replace('_', ' ')}")

    def per_sample(self) -> dict[str, Tensor | np.ndarray]:
        """The attributes that hold a value for each sample; a subclass with one of its own adds it, for `subset`."""
        named = {name: getattr(self, name) for name in ("inputs", "source_indices", "groups", "names")}
        return {name: values for name, values in named.items() if values is not None}

    def __len__(self) -> int:
        return len(self.inputs)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return tuple(self.inputs.shape[1:])

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")  # what ends `for sample in dataset`
        sample = {"input": self._scaled(self.inputs[index].clone()), "index": index, "source": self.source}
        return sample if self.names is None else sample | {"name": self.names[index]}

    def gather(self, indices: "Indices") -> Batch:
        """The samples at these positions as they are kept: one `index_select` of each tensor."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        batch: Batch = {
            "input": self.inputs.index_select(0, index),
            "index": index,
            "source": [self.source] * len(index),
        }
        if self.names is not None:
            batch["name"] = self.names[index.numpy()].tolist()
        return batch

    def finish(self, batch: Batch) -> Batch:
        """A batch of `gather`, its inputs now float32 and scaled, on whichever device they lie."""
        batch["input"] = self._scaled(cast(Tensor, batch["input"]))
        return batch

    def _scaled(self, inputs: Tensor) -> Tensor:
        """The inputs, which may be overwritten, as `(input - mean) / std`."""
        return scaled(inputs, self.mean, self.std)

    @property
    def device(self) -> torch.device:
        """Where the inputs lie."""
        return self.inputs.device

    @property
    def num_bytes(self) -> int | None:
        """What `to` would take of a device's memory; None: these samples stay where they are."""
        if not self.takes_tensors or self.names is not None:  # names are looked up by positions on the CPU
            return None
        return sum(tensor.nbytes for tensor in self._movable().values())

    def to(self, device: torch.device) -> Self:
        """The same samples with their tensors on `device`, to be asked for by positions that are there too."""
        moved = copy(self)
        for name, tensor in self._movable().items():
            setattr(moved, name, tensor.to(device))
        return moved

    def _movable(self) -> dict[str, Tensor]:
        """The tensors that batches are made of."""
        kept = self.per_sample().items()
        return {name: values for name, values in kept if isinstance(values, Tensor) and name != "source_indices"}

    def subset(self, indices: "Indices") -> Self:
        """The samples at these positions, which remember where they came from."""
        index = torch.as_tensor(indices, dtype=torch.int64)
        part = copy(self)
        for name, values in self.per_sample().items():
            setattr(part, name, values.index_select(0, index) if isinstance(values, Tensor) else values[index.numpy()])
        return part

    def take(self, num_samples: int, seed: int = 0) -> Self:
        """`num_samples` of them (all, if there are no more), drawn by `seed`, stratified where targets are classes.

        Groups stay whole: at most `num_samples` samples then, or the smallest group if every one is larger.
        """
        if num_samples >= len(self):
            return self
        return self.subset(draw(self._labels(), num_samples, seed, groups=self.groups))

    def _labels(self) -> int | np.ndarray:
        """What a split is stratified by, or just the number of samples."""
        return len(self)

    def stored_rows(self, positions: np.ndarray) -> list[np.ndarray]:
        """The bytes of these samples as they are stored, a row a sample, to compare thousands at a time."""
        return [_bytes(self.inputs, positions)]


class TensorDataset(InputDataset):
    """Inputs and targets in two tensors; a batch is one `index_select` of each."""

    def __init__(
        self,
        inputs: Tensor,
        targets: Tensor,
        *,
        source: str,
        source_indices: Tensor | None = None,
        mean: float = 0.0,
        std: float = 1.0,
        groups: Sequence[Any] | np.ndarray | None = None,
        names: Sequence[str] | np.ndarray | None = None,
    ) -> None:
        self.targets = targets
        super().__init__(
            inputs, source=source, source_indices=source_indices, mean=mean, std=std, groups=groups, names=names
        )

    def per_sample(self) -> dict[str, Tensor | np.ndarray]:
        return {**super().per_sample(), "targets": self.targets}

    def __getitem__(self, index: int) -> dict[str, Any]:
        return super().__getitem__(index) | {"target": self.targets[index]}

    def gather(self, indices: "Indices") -> Batch:
        batch = super().gather(indices)
        batch["target"] = self.targets.index_select(0, cast(Tensor, batch["index"]))
        return batch

    def without_targets(self) -> InputDataset:
        """The same samples as if nobody had labelled them; they still remember where they came from."""
        return InputDataset(
            self.inputs,
            source=self.source,
            source_indices=self.source_indices,
            mean=self.mean,
            std=self.std,
            groups=self.groups,
            names=self.names,
        )

    def _labels(self) -> int | np.ndarray:
        return self.targets.numpy() if _are_classes(self.targets) else len(self)

    def stored_rows(self, positions: np.ndarray) -> list[np.ndarray]:
        return [*super().stored_rows(positions), _bytes(self.targets, positions)]


def _bytes(rows: Tensor, positions: np.ndarray) -> np.ndarray:
    if len(positions) and (np.diff(positions) == 1).all():
        chosen = rows[int(positions[0]) : int(positions[-1]) + 1]
    else:
        chosen = rows.index_select(0, torch.from_numpy(positions))
    return chosen.reshape(len(chosen), -1).contiguous().view(torch.uint8).numpy()


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

    Classes count from 0; other targets are the columns of a regression. A fraction of 0 leaves that set out. Where
    the data has `groups`, they stay whole, and classes are not balanced.
    """
    targets = data.targets
    is_classes = _are_classes(targets)
    train, val, test = hold_out(
        targets.numpy() if is_classes else len(data),
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
        groups=data.groups,
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
