"""Batches of a dataset, in an order that follows from seed and epoch alone."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler, default_collate, get_worker_info

from labwright.args.errors import UserError

from .batch import Batch
from .seeding import isolated_rng, seed_cpu
from .seeds import derive_seed

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
    A dataset may draw random numbers: they depend on seed, epoch and batch, not on the number of workers. One that
    draws none can say so with `draws_random_numbers = False`, which saves some 20 microseconds a batch.
    """
    return Loader(
        _Batches(dataset, collate, source),
        _Order(_checked_length(dataset, batch_size, source), batch_size, shuffle, seed),
        num_workers=num_workers,
        pin_memory=pin_memory,
    )


class Loader:
    """An iterable of batches. `set_epoch` before each epoch gives each its own order; none of it touches the RNG."""

    def __init__(self, batches: "_Batches", order: "_Order", *, num_workers: int, pin_memory: bool) -> None:
        self.dataset = batches.dataset
        self.batch_size = order.batch_size
        self._order = order
        self._loader: DataLoader[Batch] = DataLoader(
            batches,  # pyright: ignore[reportArgumentType]  # any object with __getitem__ will do
            batch_size=None,  # the sampler hands out whole batches
            sampler=order,
            collate_fn=_as_it_is,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=pin_memory,
            generator=torch.Generator(),  # without one, each epoch draws from the global generator
        )

    def set_epoch(self, epoch: int) -> None:
        self._order.epoch = epoch

    def __iter__(self) -> Iterator[Batch]:
        return iter(self._loader)

    def close(self) -> None:
        """End the worker processes, if there are any; iterating again starts new ones."""
        workers = cast(Any, self._loader._iterator)  # torch has no other way to them
        if workers is not None:
            workers._shutdown_workers()
            self._loader._iterator = None

    def __len__(self) -> int:
        return self.num_batches

    @property
    def num_batches(self) -> int:
        return len(self._order)

    @property
    def num_samples(self) -> int:
        return self._order.num_samples


class _Order(Sampler[tuple[int, list[int]]]):
    """For each batch of the epoch a seed for what the dataset draws, and the positions to fetch."""

    def __init__(self, length: int, batch_size: int, shuffle: bool, seed: int) -> None:
        self.batch_size = batch_size
        self.num_samples = length
        self.epoch = 1
        self._shuffle = shuffle
        self._seed = seed

    def __len__(self) -> int:
        return -(-self.num_samples // self.batch_size)

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        generator = torch.Generator().manual_seed(derive_seed(self._seed, "order", self.epoch))
        positions = (
            torch.randperm(self.num_samples, generator=generator) if self._shuffle else torch.arange(self.num_samples)
        )
        seeds = torch.randint(2**62, (len(self),), generator=generator).tolist()
        for batch, seed in enumerate(seeds):
            start = batch * self.batch_size
            # Made Python numbers a batch at a time: a list of all positions would weigh five times the tensor.
            yield seed, positions[start : start + self.batch_size].tolist()


class _Batches:
    """The dataset as a mapping of (seed, positions) to whole batches, fetched where the worker is."""

    def __init__(self, dataset: Any, collate: Collate | None, source: str) -> None:
        self.dataset = dataset
        self._collate = collate
        self._source = source
        self._fetch_at_once = getattr(dataset, "__getitems__", None)
        if collate is not None and hasattr(dataset, "__getitem__"):
            self._fetch_at_once = None  # a collate function is made for samples
        self._draws = getattr(dataset, "draws_random_numbers", True)

    def __getitem__(self, seed_and_positions: tuple[int, list[int]]) -> Batch:
        seed, positions = seed_and_positions
        if not self._draws:
            return self._fetch(positions)
        if get_worker_info() is not None:
            seed_cpu(seed)  # a worker's generators serve nobody else
            return self._fetch(positions)
        with isolated_rng(seed):
            return self._fetch(positions)

    def _fetch(self, positions: list[int]) -> Batch:
        if self._fetch_at_once is not None:
            fetched = self._fetch_at_once(positions)
        else:
            fetched = [self.dataset[position] for position in positions]
        if isinstance(fetched, list):
            fetched = self._collate(fetched) if self._collate else stack(fetched)
        elif self._collate:
            raise UserError(
                f"{_title(self.dataset, self._source)} gives whole batches only, and collate is for samples: "
                "give it __getitem__, or leave collate out for it"
            )
        batch = _named(fetched)
        if "index" not in batch:
            batch = {**batch, "index": torch.from_numpy(np.array(positions, dtype=np.int64))}
        if "source" not in batch:
            batch = {**batch, "source": [self._source] * len(positions)}
        return batch


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


def _checked_length(dataset: Any, batch_size: int, source: str) -> int:
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}")
    length = len(dataset)
    if length == 0:
        raise UserError(f"{_title(dataset, source)} is empty")
    return length


def _title(dataset: Any, source: str) -> str:
    return f"dataset {source!r}" if source else f"the {type(dataset).__name__}"


def _as_it_is(batch: Any) -> Any:
    return batch
