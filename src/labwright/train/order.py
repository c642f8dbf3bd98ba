"""Which samples make up the batches of an epoch: a function of seed and epoch alone."""

from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, cast

import numpy as np
import torch
from torch import Tensor

from .distributed.share import Share
from .seeds import derive_seed, numbered_seed

_PIECE = 1 << 13
"""Positions drawn at once: each call of NumPy for them then costs a nanosecond a position."""


class Task(NamedTuple):
    """A batch to fetch, and the seeds for what is drawn meanwhile: it says all that a worker needs to know."""

    positions: list[int]
    samples_seed: int
    """Of the epoch; each sample's follows from it."""
    batch_seed: int


class Permutation(Protocol):
    """A shuffled order any part of which can be had without the rest."""

    def positions(self, start: int, stop: int, /) -> np.ndarray: ...


class PermutedDataset(Protocol):
    """A dataset that shuffles itself, as `ShardDataset` does: a list of a billion positions would be 8 GB."""

    def permutation(self, seed: int, epoch: int, /) -> Permutation: ...


class Order:
    """Which samples make up the batches of an epoch: those of `dataset`, in its own shuffled order if it has one."""

    def __init__(self, length: int, batch_size: int, shuffle: bool, seed: int, dataset: object = None) -> None:
        self.num_samples = length
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 1
        self.share: Share | None = None
        """Of several ranks; None: every sample is this process' own."""
        self.shuffle = shuffle
        self._permuted: PermutedDataset | None = None
        if callable(getattr(dataset, "permutation", None)):  # a table of that name is something else
            self._permuted = cast(PermutedDataset, dataset)

    def tasks(self, first_batch: int) -> Iterator[Task]:
        """What to fetch for each batch of the epoch from `first_batch` on, counted from 0."""
        samples_seed = derive_seed(self.seed, "samples", self.epoch)
        batches_seed = derive_seed(self.seed, "batches", self.epoch, *(self.share.words if self.share else ()))
        for number, batch in enumerate(self.batches(first_batch, self.positions()), start=first_batch):
            # Made Python numbers a batch at a time: a list of all positions would weigh five times the tensor.
            yield Task(batch.tolist(), samples_seed, numbered_seed(batches_seed, number))

    def positions(self) -> "Tensor | Drawn":
        """All samples in the order of the epoch, to be cut into parts."""
        if self._permuted is not None:
            draw = self._permuted.permutation(self.seed, self.epoch).positions if self.shuffle else np.arange
            return Drawn(draw, self.num_samples)
        if not self.shuffle:
            return torch.arange(self.num_samples)
        generator = torch.Generator().manual_seed(derive_seed(self.seed, "order", self.epoch))
        return torch.randperm(self.num_samples, generator=generator)

    def batches(self, first_batch: int, positions: "Tensor | Drawn", at_once: int = 1) -> Iterator[Tensor]:
        """What the batches from `first_batch` on have of `positions`, so many of them together."""
        size = at_once * self.batch_size
        for start in range(first_batch * self.batch_size, self.num_samples, size):
            part = positions[start : start + size]
            if self.share is None:
                yield part
            else:
                yield from self.share.of(part, self.batch_size)

    @property
    def size_of_rank(self) -> int:
        """The most samples of a batch that this process has."""
        return self.batch_size if self.share is None else -(-self.batch_size // self.share.size)


class Drawn:
    """Positions that are drawn when they are asked for, some thousands at a time; a slice of them is a tensor."""

    def __init__(self, draw: Callable[[int, int], np.ndarray], length: int) -> None:
        self._draw = draw
        self._length = length
        self._start = 0
        self._piece = torch.empty(0, dtype=torch.int64)

    def __getitem__(self, part: slice) -> Tensor:
        start, stop, _ = part.indices(self._length)
        if not self._start <= start <= stop <= self._start + len(self._piece):
            self._start = start
            self._piece = torch.from_numpy(self._draw(start, min(self._length, max(stop, start + _PIECE))))
        return self._piece[start - self._start : stop - self._start]
