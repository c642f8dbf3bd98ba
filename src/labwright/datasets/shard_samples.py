"""Samples of shards as a dataset to train on."""

import hashlib
from collections.abc import Iterable, Sequence
from copy import copy
from typing import TYPE_CHECKING, Any, Self, cast

import numpy as np
import torch
from torch import Tensor

from labwright.shards import Permutation, ShardDataset, ShardError

from .gathered import Gathered
from .splits import Batch, draw
from .tensor import scaled

if TYPE_CHECKING:
    from .args import Task
    from .splits import Indices


class ShardSamples(Gathered):
    """`input` and `target` of shards as an experiment trains on them; without a `task`, inputs alone.

    Images become [channels, height, width]. A batch stays as it is stored (images as uint8) until `finish`, which
    loaders leave to the device: there inputs become float32 as `(input - mean) / std`, classes int64, numbers float32.
    """

    draws_random_numbers = False
    finishes_on_device = True

    def __init__(
        self,
        shards: ShardDataset,
        *,
        is_image: bool,
        task: "Task | None" = None,
        groups: np.ndarray | None = None,
    ) -> None:
        self.shards = shards
        self.is_image = is_image
        self.task: Task | None = task
        self.groups = groups
        self.input_shape: tuple[int, ...] = ()
        self.mean = 0.0
        self.std = 1.0
        self.num_classes = 0
        """Targets that are classes lie below it; 0: they are not looked at."""
        self._labels: np.ndarray | None = None
        self.takes_tensors = not is_image
        """Arrays are gathered where they lie, faster than a worker could hand them over; images are decoded."""

    def described(self, input_shape: tuple[int, ...], mean: float, std: float, *, num_classes: int = 0) -> Self:
        """The same samples, of which that is known."""
        known = copy(self)
        known.input_shape, known.mean, known.std, known.num_classes = input_shape, mean, std, num_classes
        return known

    def __len__(self) -> int:
        return len(self.shards)

    def gather(self, indices: "Indices") -> Batch:
        """The samples at these positions as they are stored; a ShardError names one that does not fit."""
        batch = self.shards.__getitems__(indices)
        # Without the folder's name: random numbers follow from it, and are those of any copy of the data.
        batch["source"] = [self.source.rpartition("/")[2]] * len(batch["source"])
        inputs = self._alike(batch, "input")
        batch["input"] = _channels_first(inputs) if self.is_image else _in_columns(inputs)
        if "target" in batch:
            batch["target"] = target = _in_known_type(self._alike(batch, "target"))
            if self.num_classes:
                self._check_classes(target, batch["name"])
        return batch

    def finish(self, batch: Batch) -> Batch:
        """A batch of `gather`, its inputs scaled and its targets as losses take them, on whichever device they lie."""
        batch["input"] = scaled(cast(Tensor, batch["input"]), self.mean, self.std)
        if "target" in batch:
            target = cast(Tensor, batch["target"])
            if self.task != "regression":
                batch["target"] = target.long()
            else:
                batch["target"] = _in_columns(target).float()
        return batch

    def _alike(self, batch: dict[str, Any], name: str) -> Tensor:
        values = batch[name]
        field = self.shards.fields[name]
        if isinstance(values, Tensor):
            if values.is_complex():
                raise ShardError(f"{self.source}: the field {field!r} has complex numbers; store their parts")
            return values
        if not all(isinstance(value, Tensor) for value in values):
            raise ShardError(f"{self.shards.source}: the field {field!r} holds no images, arrays or classes")
        kinds = [(tuple(value.shape), value.dtype) for value in values]
        other = next(row for row, kind in enumerate(kinds) if kind != kinds[0])
        advice = "; --dataset.image_size and --dataset.num_channels make images alike" if self.is_image else ""
        first, second = (f"{batch['name'][row]}.{field} is {_shown(values[row])}" for row in (0, other))
        raise ShardError(f"{self.source}: all {name}s must be alike, and {first} where {second}{advice}")

    def check_labels(self, num_classes: int, advice: str = "") -> None:
        """A ShardError names the first sample whose class is not among so many, and gives `advice`."""
        labels = self.labels()
        is_wrong = (labels < 0) | (labels >= num_classes)
        if np.any(is_wrong):
            row = int(np.argmax(is_wrong))
            raise self._wrong_class(int(np.asarray(labels)[row]), num_classes, self.shards.keys[row], advice)

    def _check_classes(self, target: Tensor, names: Sequence[str]) -> None:
        low, high = map(int, torch.aminmax(target))
        if low >= 0 and high < self.num_classes:
            return
        is_wrong = ((target < 0) | (target >= self.num_classes)).reshape(len(target), -1)
        row = int(is_wrong.any(1).nonzero()[0])
        found = int(target.reshape(len(target), -1)[row][is_wrong[row]][0])
        raise self._wrong_class(found, self.num_classes, names[row])

    def _wrong_class(self, found: int, num_classes: int, name: str, advice: str = "") -> ShardError:
        return ShardError(
            f"class {found}, where classes are from 0 to {num_classes - 1}{advice}",
            shard=self.source,
            key=name,
            field=self.shards.fields["target"],
        )

    @property
    def fingerprint(self) -> str:
        """SHA-256 that says which samples of which data these are, and how they are scaled."""
        return hashlib.sha256(f"{self.shards.fingerprint} {self.mean} {self.std}".encode()).hexdigest()

    @property
    def source(self) -> str:
        return self.shards.source

    @property
    def source_indices(self) -> Tensor:
        return self.shards.source_indices

    @property
    def stored_rows(self) -> Any:
        """Sizes and checksums of the samples at given positions, a row a sample; only where shards have them."""
        return self.shards.stored_rows

    def stored_digests(self, positions: np.ndarray) -> np.ndarray:
        """A 64-bit digest of the bytes of each of these samples: equal checksums may be chance."""
        shards = self.shards
        stored = ShardDataset(shards.opened, shards.split, shards.fields, raw=True)
        batch = stored.__getitems__(shards.source_indices[positions])
        samples = zip(*(batch[name] for name in shards.fields), strict=True)
        return np.array([_digest(contents) for contents in samples], np.uint64)

    def permutation(self, seed: int, epoch: int) -> Permutation:
        """The shuffled order of an epoch, of which loaders compute what they need."""
        return self.shards.permutation(seed, epoch)

    def subset(self, indices: "Indices") -> Self:
        """The samples at these positions, which remember where they came from."""
        part = copy(self)
        part.shards = self.shards.subset(indices)
        chosen = np.asarray(indices)
        part.groups = None if self.groups is None else self.groups[chosen]
        part._labels = None if self._labels is None else self._labels[chosen]
        return part

    def labels(self) -> int | np.ndarray:
        """The class of each sample, to split by; or how many samples there are, where they have none."""
        if self.task != "classification":
            return len(self)
        if self._labels is None:
            self._labels = self.shards.column("target")
        return self._labels

    def take(self, num_samples: int, seed: int = 0) -> Self:
        """`num_samples` of them (all, if there are no more), drawn by `seed`, stratified where targets are classes.

        Groups stay whole: at most `num_samples` samples then, or the smallest group if every one is larger.
        """
        if num_samples >= len(self):
            return self
        labels = self.labels() if self.groups is None else len(self)
        return self.subset(draw(labels, num_samples, seed, groups=self.groups))


def _digest(contents: Iterable[bytes]) -> int:
    digest = hashlib.blake2b(digest_size=8)
    for content in contents:
        digest.update(len(content).to_bytes(8, "little") + content)
    return int.from_bytes(digest.digest(), "little")


def _channels_first(images: Tensor) -> Tensor:
    """[samples, channels, height, width] of images whose channels come last, or which have none."""
    return images[:, None] if images.ndim == 3 else images.permute(0, 3, 1, 2).contiguous()


def _in_columns(numbers: Tensor) -> Tensor:
    """[samples, ...] of one number each as [samples, 1]."""
    return numbers[:, None] if numbers.ndim == 1 else numbers


def _in_known_type(target: Tensor) -> Tensor:
    """Whole numbers in a type that torch can compare."""
    wider = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64}
    return target.to(wider[target.dtype]) if target.dtype in wider else target


def _shown(value: Tensor) -> str:
    return f"{str(value.dtype).removeprefix('torch.')} {list(value.shape)}"
