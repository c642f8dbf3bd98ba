"""Batches of a dataset, in an order that follows from seed and epoch alone."""

from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from queue import SimpleQueue
from threading import Thread
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from labwright.args.errors import UserError
from labwright.args.wording import listed

from .batch import Batch
from .seeding import isolated_rng, seed_cpu
from .seeds import derive_seed, numbered_seed
from .workers import Workers

Collate = Callable[[list[Any]], Any]


def build_loader(
    dataset: Any,
    batch_size: int,
    *,
    shuffle: bool,
    seed: int,
    num_workers: int = 0,
    collate: Collate | None = None,
    source: str = "",
    pin_memory: bool = False,
) -> "Loader":
    """A loader over `dataset`, known as `source` in its batches and in errors.

    The dataset has `__len__` and either `__getitems__(list of positions) -> Batch` or `__getitem__(position)` giving a
    dict or an (input, target) pair; `collate` makes a Batch of a list of those where the default will not do. With it
    samples are fetched one by one, if the dataset has `__getitem__`; one that has only `__getitems__` must return a
    list of samples there, and a UserError says so if it returns a whole Batch, which `collate` could not touch.

    A dataset may draw random numbers from Python, NumPy and torch. Those of a sample that is fetched alone follow from
    seed, epoch and its position, whatever the batch size, the order and the number of workers; those of a batch
    fetched at once from seed, epoch and the number of the batch; so do those of `collate`. A dataset that draws none
    can say so with `draws_random_numbers = False`, which saves some 7 microseconds a sample, or 20 a batch.
    """
    title = f"dataset {source!r}" if source else f"the {type(dataset).__name__}"
    order = _Order(_checked_length(dataset, batch_size, title), batch_size, shuffle, seed)
    return Loader(_Fetch(dataset, collate, source, title), order, num_workers=num_workers, pin_memory=pin_memory)


class Loader:
    """An iterable of batches. `set_epoch` before each epoch gives each its own order; none of it touches the RNG."""

    def __init__(self, fetch: "_Fetch", order: "_Order", *, num_workers: int, pin_memory: bool) -> None:
        self.dataset = fetch.dataset
        self.batch_size = order.batch_size
        self.should_stop: Callable[[], bool] = lambda: False
        """Asked while waiting for a worker. Once it says yes, a batch that takes longer than seconds is not waited for
        any more: the iteration ends with BatchOverdue. No batch before it is lost."""
        self._fetch = fetch
        self._order = order
        self._num_workers = num_workers
        self._pin_memory = pin_memory and torch.accelerator.is_available()
        self._first_batch = 0
        self._workers: Workers | None = None

    def set_epoch(self, epoch: int) -> None:
        self._order.epoch = epoch

    def start_at(self, num_batches: int) -> None:
        """Leave that many batches out of the next iteration, and of that one alone; the rest are what they would be."""
        if not 0 <= num_batches <= self.num_batches:
            raise UserError(f"cannot start after {num_batches} batches: {self._fetch.title} has {self.num_batches}")
        self._first_batch = num_batches

    def __iter__(self) -> Iterator[Batch]:
        tasks = self._order.tasks(self._first_batch)
        self._first_batch = 0
        if self._num_workers == 0:
            return (_pinned(self._fetch(task)) if self._pin_memory else self._fetch(task) for task in tasks)
        if self._workers is None or self._workers.is_closed:
            self._workers = Workers(self._fetch, self._num_workers, self._fetch.title)
        self._workers.should_stop = self.should_stop
        batches = self._workers.batches(tasks)
        return _ahead(map(_pinned, batches)) if self._pin_memory else batches

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


class _Task(NamedTuple):
    """A batch to fetch, and the seeds for what is drawn meanwhile: it says all that a worker needs to know."""

    positions: list[int]
    samples_seed: int
    """Of the epoch; each sample's follows from it."""
    batch_seed: int


class _Order:
    """Which samples make up the batches of an epoch."""

    def __init__(self, length: int, batch_size: int, shuffle: bool, seed: int) -> None:
        self.num_samples = length
        self.batch_size = batch_size
        self.epoch = 1
        self._shuffle = shuffle
        self._seed = seed

    def tasks(self, first_batch: int) -> Iterator[_Task]:
        """The batches of the epoch from `first_batch` on, counted from 0."""
        order_seed, samples_seed, batches_seed = (
            derive_seed(self._seed, what, self.epoch) for what in ("order", "samples", "batches")
        )
        generator = torch.Generator().manual_seed(order_seed)
        positions = (
            torch.randperm(self.num_samples, generator=generator) if self._shuffle else torch.arange(self.num_samples)
        )
        for number, start in islice(enumerate(range(0, self.num_samples, self.batch_size)), first_batch, None):
            # Made Python numbers a batch at a time: a list of all positions would weigh five times the tensor.
            batch = positions[start : start + self.batch_size].tolist()
            yield _Task(batch, samples_seed, numbered_seed(batches_seed, number))


class _Fetch:
    """Makes the batch that a task asks for, wherever that is done."""

    def __init__(self, dataset: Any, collate: Collate | None, source: str, title: str) -> None:
        self.dataset = dataset
        self.title = title
        self._collate = collate
        self._source = source
        self._fetch_at_once = getattr(dataset, "__getitems__", None)
        if collate is not None and hasattr(dataset, "__getitem__"):
            self._fetch_at_once = None  # a collate function is made for samples
        self._dataset_draws = getattr(dataset, "draws_random_numbers", True)

    def __call__(self, task: _Task) -> Batch:
        if not self._dataset_draws and self._collate is None:
            return self._fetch(task)
        if get_worker_info() is not None:
            seed_cpu(task.batch_seed)  # a worker's generators serve nobody else
            return self._fetch(task)
        with isolated_rng(task.batch_seed):
            return self._fetch(task)

    def _fetch(self, task: _Task) -> Batch:
        try:
            batch = self._batch(task)
        except Exception as error:
            error.add_note(f"in the batch of samples {listed(map(str, task.positions), 10)} of {self.title}")
            raise
        if "index" not in batch:
            batch = {**batch, "index": torch.from_numpy(np.array(task.positions, dtype=np.int64))}
        if "source" not in batch:
            batch = {**batch, "source": [self._source] * len(task.positions)}
        return batch

    def _batch(self, task: _Task) -> Batch:
        fetched = self._samples(task) if self._fetch_at_once is None else self._fetch_at_once(task.positions)
        if isinstance(fetched, list):
            return _named(self._collate(fetched) if self._collate else stack(fetched))
        if self._collate:
            raise UserError(
                f"{self.title} gives whole batches only, and collate is for samples: "
                "give it __getitem__, or leave collate out for it"
            )
        return _named(fetched)

    def _samples(self, task: _Task) -> list[Any]:
        if not self._dataset_draws:
            return [self.dataset[position] for position in task.positions]
        samples: list[Any] = []
        for position in task.positions:
            seed_cpu(numbered_seed(task.samples_seed, position))
            samples.append(self.dataset[position])
        if self._collate:
            seed_cpu(task.batch_seed)
        return samples


def _ahead(batches: Iterator[Batch]) -> Iterator[Batch]:
    """The batches, each made by a thread while the caller works on the one before."""
    device = torch.accelerator.current_device_index()
    is_wanted: SimpleQueue[bool] = SimpleQueue()
    made: SimpleQueue[tuple[Batch | None, BaseException | None]] = SimpleQueue()

    def make() -> None:
        torch.accelerator.set_device_index(device)  # a new thread would wake up the first one
        while is_wanted.get():
            try:
                made.put((next(batches, None), None))
            except BaseException as error:
                made.put((None, error))

    Thread(target=make, daemon=True).start()
    try:
        is_wanted.put(True)
        while True:
            batch, error = made.get()
            if error is not None:
                raise error
            if batch is None:
                return
            is_wanted.put(True)
            yield batch
    finally:
        is_wanted.put(False)


def _pinned(value: Any) -> Any:
    """Tensors where an accelerator copies them from while it computes."""
    if isinstance(value, Tensor):
        return value.pin_memory()
    if isinstance(value, dict):
        return {key: _pinned(part) for key, part in value.items()}
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return [_pinned(part) for part in value]
    return value


def _named(batch: Any) -> Batch:
    """A collated batch under its names: a dict as it is, a pair as `input` and `target`."""
    if isinstance(batch, dict):
        return batch
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return {"input": batch[0], "target": batch[1]}
    raise UserError(
        f"a batch must be a dict with `input` and `target`, or a pair of them; the dataset and collate function give "
        f"a {type(batch).__name__}"
    )


def stack(samples: list[Any]) -> Any:
    """Samples as one value: dicts and tuples by member, numbers, arrays and tensors stacked, the rest as a list."""
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: stack([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple):
        return tuple(stack(list(column)) for column in zip(*samples, strict=True))
    if isinstance(first, Tensor | np.ndarray | np.generic):
        return default_collate(samples)
    if isinstance(first, int | float):
        return torch.tensor(samples)  # Python floats become torch's default type; default_collate makes them float64
    return samples


def _checked_length(dataset: Any, batch_size: int, title: str) -> int:
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}")
    length = len(dataset)
    if length == 0:
        raise UserError(f"{title} is empty")
    return length
