"""Batches of a dataset, in an order that follows from seed and epoch alone."""

from collections.abc import Callable, Iterator
from itertools import chain, islice
from time import perf_counter
from typing import Any, Literal

import torch

from labwright.args.errors import UserError

from .batch import Batch, PlacedBatch
from .blocks import batches_in_block, cut, keep_memory_of_blocks
from .distributed.share import Share
from .fetch import Collate, Fetch, unchanged
from .loader_state import LoaderState, batches_done
from .look_ahead import copied_ahead, made_ahead, pinned
from .order import Order, Task
from .workers import Workers, one_thread, usual_num_workers

_NUM_TRIED, _LONG_SECONDS = 3, 0.01
"""Where so many batches took longer than that each, processes that fetch them are worth their start."""


def build_loader(
    dataset: Any,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    num_workers: int | Literal["auto"] = 0,
    collate: Collate | None = None,
    source: str = "",
    pin_memory: bool = False,
    device: torch.device | None = None,
) -> "Loader":
    """A loader over `dataset`, known as `source` in its batches and in errors.

    The dataset has `__len__` and either `__getitems__(list of positions) -> Batch` or `__getitem__(position)` giving a
    dict or an (input, target) pair; `collate` makes a Batch of a list of those where the default will not do. With it
    samples are fetched one by one, if the dataset has `__getitem__`; one that has only `__getitems__` must return a
    list of samples there, and a UserError says so if it returns a whole Batch, which `collate` could not touch.

    A dataset may draw random numbers from Python, NumPy and torch. Those of a sample that is fetched alone follow from
    seed, epoch and its position, whatever the batch size, the order and the number of workers; those of a batch
    fetched at once from seed, epoch and the number of the batch; so do those of `collate`. A dataset that draws none
    can say so with `draws_random_numbers = False`, which saves some 7 microseconds a sample, or 20 a batch. One that
    also says `takes_tensors = True` is given the positions as a tensor. One with `gather` and `finish` that says
    `finishes_on_device = True` is asked for batches by `gather`, by workers too, and `finish` has them on the device.

    One with a `permutation(seed, epoch)` is shuffled by that, drawn a piece at a time by its `positions(start, stop)`.

    `num_workers="auto"` fetches in this process, and where the first three batches took more than 10 ms each in as many
    others as `usual_num_workers` says. With a GPU as `device`, a batch is being copied there while the one before it is
    worked on; one that has arrived passes through `to_device` untouched.
    """
    title = f"dataset {source!r}" if source else f"the {type(dataset).__name__}"
    order = Order(_checked_length(dataset, batch_size, title), batch_size, shuffle, seed, dataset)
    fetch = Fetch(dataset, collate, source, title)
    return Loader(fetch, order, num_workers=num_workers, pin_memory=pin_memory, device=device)


class Loader:
    """An iterable of batches. `set_epoch` before each epoch gives each its own order; none of it touches the RNG."""

    def __init__(
        self,
        fetch: Fetch,
        order: Order,
        *,
        num_workers: int | Literal["auto"],
        pin_memory: bool,
        device: torch.device | None,
    ) -> None:
        self.dataset = fetch.dataset
        self.batch_size = order.batch_size
        self.should_stop: Callable[[], bool] = lambda: False
        """Asked while waiting for a worker. Once it says yes, a batch that takes longer than seconds is not waited for
        any more: the iteration ends with BatchOverdue. No batch before it is lost."""
        self._fetch = fetch
        self._order = order
        self._num_workers: int | None = None if num_workers == "auto" else num_workers
        """None: not known yet."""
        self._is_chosen = num_workers == "auto"
        self._seconds: list[float] = []
        """How long the first batches took, until the number of workers is known."""
        self._device = device if device is not None and device.type == "cuda" else None
        self._pin_memory = (pin_memory or self._device is not None) and torch.accelerator.is_available()
        self._batches_in_block: int | None = None
        """Of samples that lie in tensors; None: not known yet."""
        self._first_batch = 0
        self._num_given = 0
        """Batches of the epoch that were handed out or are left out."""
        self._is_taken_up = False
        """Whether a state said where to begin."""
        self._workers: Workers | None = None

    @property
    def epoch(self) -> int:
        """The one whose order is in force: 1, or what `set_epoch` was given, which may count from 0 as well."""
        return self._order.epoch

    def set_epoch(self, epoch: int) -> None:
        if epoch != self._order.epoch and self._is_taken_up:
            self._first_batch = 0  # that was a place in another epoch
        self._order.epoch, self._num_given = epoch, self._first_batch

    def state_dict(self) -> LoaderState:
        """How far the epoch has come: what was handed out, whatever the workers have fetched beyond it.

        The same on every rank, and good for any number of workers and, with the same `batch_size`, of ranks.
        """
        consumed = min(self._num_given * self.batch_size, self.num_samples)
        dataset = self._fetch.fingerprint
        order = self._order
        return LoaderState(
            epoch=order.epoch, samples_consumed=consumed, seed=order.seed, shuffle=order.shuffle, dataset=dataset
        )

    def load_state_dict(self, state: LoaderState) -> None:
        """Take up the epoch where `state_dict` found it; a UserError if it was one of another dataset or seed.

        `for epoch in range(loader.epoch, last + 1): loader.set_epoch(epoch)` then goes on as if nothing had happened.
        """
        order = self._order
        num_batches = batches_done(
            state,
            seed=order.seed,
            shuffle=order.shuffle,
            dataset=self._fetch.fingerprint,
            batch_size=self.batch_size,
            num_samples=self.num_samples,
        )
        order.epoch = state["epoch"]
        self.start_at(num_batches)
        self._is_taken_up = True

    def start_at(self, num_batches: int) -> None:
        """Leave that many batches out of the next iteration, and of that one alone; the rest are what they would be."""
        if not 0 <= num_batches <= self.num_batches:
            raise UserError(f"cannot start after {num_batches} batches: {self._fetch.title} has {self.num_batches}")
        self._first_batch = self._num_given = num_batches

    def share(self, rank: int, size: int, *, training: bool) -> None:
        """From now on give this rank's part of every batch; the batches are those of a process alone.

        Where the last one has fewer samples than there are ranks, those without pass it over; while training they take
        part in it with a sample of another rank, and `borrows` says so.
        """
        self._order.share = Share(rank, size, training)

    def borrows(self, number: int) -> bool:
        """Whether the samples of a batch, counted from 0, are another rank's."""
        share = self._order.share
        return share is not None and self.batch_size_of_all(number) <= share.rank

    def batch_size_of_all(self, number: int) -> int:
        """The samples of a batch, counted from 0, over all ranks."""
        return min(self.batch_size, self.num_samples - number * self.batch_size)

    def __iter__(self) -> Iterator[Batch]:
        self._num_given, self._first_batch, self._is_taken_up = self._first_batch, 0, False
        return self._counted(self._batches(self._num_given), self._num_given)

    def _counted(self, batches: Iterator[Batch], first_batch: int) -> Iterator[Batch]:
        for number, batch in enumerate(batches, start=first_batch + 1):
            self._num_given = number
            yield batch

    def _batches(self, first_batch: int) -> Iterator[Batch]:
        if self._fetch.lies_on is not None or (self._fetch.takes_tensors and not self._num_workers):
            return chain.from_iterable(cut(block, self._order.size_of_rank) for block in self._blocks(first_batch))
        tasks = self._order.tasks(first_batch)
        if self._num_workers is None:
            batches = self._tried(tasks)
        else:
            batches = self._by_workers(tasks) if self._num_workers else self._here(tasks)
        finish = self._fetch.finish if self._fetch.finishes_on_device else unchanged
        return map(finish, batches) if self._device is None else copied_ahead(batches, self._device, finish)

    def _blocks(self, first_batch: int) -> Iterator[Batch]:
        """Batches of samples that lie in tensors, several in one."""
        fetch, order = self._fetch, self._order.positions()
        if self._batches_in_block is None:
            sample = fetch.finish(fetch.gather(order[:1].to(fetch.lies_on or "cpu")))
            self._batches_in_block = batches_in_block(sample, self._order.size_of_rank)
            keep_memory_of_blocks()
        positions = self._order.batches(first_batch, order, self._batches_in_block)
        if fetch.lies_on is not None:  # the order is sent there once for the whole epoch
            whole = order[:]
            there = (whole.pin_memory() if self._pin_memory else whole).to(fetch.lies_on, non_blocking=True)
            both = zip(positions, self._order.batches(first_batch, there, self._batches_in_block), strict=True)
            return (PlacedBatch(fetch.finish(fetch.gather(each_there)), each) for each, each_there in both)
        gathered = map(fetch.gather, positions)
        if self._pin_memory:
            gathered = map(pinned, gathered)
        if self._device is None:
            return map(fetch.finish, gathered)
        return copied_ahead(gathered, self._device, fetch.finish)

    def _here(self, tasks: Iterator[Task]) -> Iterator[Batch]:
        return (pinned(self._fetched(task)) if self._pin_memory else self._fetched(task) for task in tasks)

    def _fetched(self, task: Task) -> Batch:
        """The batch, made in this process as a worker would make it where a clock decides which of the two does."""
        if not self._is_chosen:
            return self._fetch(task)
        with one_thread():
            return self._fetch(task)

    def _by_workers(self, tasks: Iterator[Task]) -> Iterator[Batch]:
        assert self._num_workers
        if self._workers is None or self._workers.is_closed:
            num_workers = min(self._num_workers, self.num_batches)  # more would have nothing to do
            self._workers = Workers(self._fetch, num_workers, self._fetch.title)
        self._workers.should_stop = self.should_stop
        batches = self._workers.batches(tasks)
        return made_ahead(map(pinned, batches)) if self._pin_memory else batches

    def _tried(self, tasks: Iterator[Task]) -> Iterator[Batch]:
        """The first batches are fetched here; where none of them came quickly, the rest is by workers."""
        for task in islice(tasks, _NUM_TRIED - len(self._seconds)):
            started = perf_counter()
            batch = self._fetched(task)
            self._seconds.append(perf_counter() - started)
            yield pinned(batch) if self._pin_memory else batch
        if len(self._seconds) == _NUM_TRIED:
            self._num_workers = usual_num_workers() if min(self._seconds) > _LONG_SECONDS else 0
        yield from self._by_workers(tasks) if self._num_workers else self._here(tasks)

    def close(self) -> None:
        """End the worker processes, if there are any, within seconds; iterating again starts new ones."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def __len__(self) -> int:
        return self.num_batches

    @property
    def num_batches(self) -> int:
        return -(-self.num_samples // self.batch_size)

    @property
    def num_samples(self) -> int:
        return self._order.num_samples


def _checked_length(dataset: Any, batch_size: int, title: str) -> int:
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}")
    length = len(dataset)
    if length == 0:
        raise UserError(f"{title} is empty")
    return length
