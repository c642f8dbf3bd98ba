"""Which samples make up the batches of an epoch: a function of seed and epoch alone."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from .distributed.share import Share
from .seeds import derive_seed, numbered_seed


class Task(NamedTuple):
    """A batch to fetch, and the seeds for what is drawn meanwhile: it says all that a worker needs to know."""

    positions: list[int]
    samples_seed: int
    """Of the epoch; each sample's follows from it."""
    batch_seed: int


class Order:
    """Which samples make up the batches of an epoch."""

    def __init__(self, length: int, batch_size: int, shuffle: bool, seed: int) -> None:
        self.num_samples = length
        self.batch_size = batch_size
        self.epoch = 1
        self.share: Share | None = None
        """Of several ranks; None: every sample is this process' own."""
        self._shuffle = shuffle
        self._seed = seed

    def tasks(self, first_batch: int) -> Iterator[Task]:
        """What to fetch for each batch of the epoch from `first_batch` on, counted from 0."""
        samples_seed = derive_seed(self._seed, "samples", self.epoch)
        batches_seed = derive_seed(self._seed, "batches", self.epoch, *(self.share.words if self.share else ()))
        for number, batch in enumerate(self.batches(first_batch, self.positions()), start=first_batch):
            # Made Python numbers a batch at a time: a list of all positions would weigh five times the tensor.
            yield Task(batch.tolist(), samples_seed, numbered_seed(batches_seed, number))

    def positions(self) -> Tensor:
        """All samples in the order of the epoch."""
        if not self._shuffle:
            return torch.arange(self.num_samples)
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "order", self.epoch))
        return torch.randperm(self.num_samples, generator=generator)

    def batches(self, first_batch: int, positions: Tensor, at_once: int = 1) -> Iterator[Tensor]:
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
