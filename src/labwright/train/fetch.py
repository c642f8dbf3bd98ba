"""Makes a batch of what a dataset gives, in this process or in a worker."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate, get_worker_info

from labwright.args.errors import UserError
from labwright.args.wording import listed

from .batch import Batch
from .order import Task
from .seeding import isolated_rng, seed_cpu
from .seeds import numbered_seed

Collate = Callable[[list[Any]], Any]


class Fetch:
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
        self.takes_tensors: bool = (
            getattr(dataset, "takes_tensors", False)
            and self._fetch_at_once is not None
            and collate is None
            and not self._dataset_draws
        )
        can_wait = hasattr(dataset, "gather") and hasattr(dataset, "finish")
        self.finishes_on_device: bool = can_wait and collate is None and getattr(dataset, "finishes_on_device", False)
        if self.finishes_on_device:
            self._fetch_at_once = dataset.gather
        fingerprint = getattr(dataset, "fingerprint", None)
        self.fingerprint: str = fingerprint if isinstance(fingerprint, str) else f"{len(dataset)} samples"
        """What a state is recognized by."""
        self._gather = dataset.gather if can_wait else self._fetch_at_once
        self.finish: Callable[[Batch], Batch] = dataset.finish if can_wait else unchanged
        """What is left to do with what `gather` gives, on the device or here."""
        device = getattr(dataset, "device", None) if self.takes_tensors else None
        self.lies_on: torch.device | None = None if device is None or device.type == "cpu" else device

    def __call__(self, task: Task) -> Batch:
        if not self._dataset_draws and self._collate is None:
            return self._fetch(task)
        if get_worker_info() is not None:
            seed_cpu(task.batch_seed)  # a worker's generators serve nobody else
            return self._fetch(task)
        with isolated_rng(task.batch_seed):
            return self._fetch(task)

    def gather(self, index: Tensor) -> Batch:
        """The samples at these positions of a dataset that `takes_tensors`, to be given to `finish`."""
        assert self._gather is not None
        try:
            batch = self._gather(index)
        except Exception as error:
            self._add_note(error, index.tolist())
            raise
        return batch if "index" in batch and "source" in batch else self._labelled(batch, index)

    def _fetch(self, task: Task) -> Batch:
        try:
            batch = self._batch(task)
        except Exception as error:
            self._add_note(error, task.positions)
            raise
        return self._labelled(batch, task.positions)

    def _add_note(self, error: Exception, positions: list[int]) -> None:
        error.add_note(f"in the batch of samples {listed(map(str, positions), 10)} of {self.title}")

    def _labelled(self, batch: Batch, positions: "list[int] | Tensor") -> Batch:
        """The batch with its `index` and `source`, where the dataset has not said them."""
        if "index" not in batch:
            index = positions if isinstance(positions, Tensor) else torch.from_numpy(np.array(positions, np.int64))
            batch = {**batch, "index": index}
        if "source" not in batch:
            batch = {**batch, "source": [self._source] * len(positions)}
        return batch

    def _batch(self, task: Task) -> Batch:
        fetched = self._samples(task) if self._fetch_at_once is None else self._fetch_at_once(task.positions)
        if isinstance(fetched, list):
            return _named(self._collate(fetched) if self._collate else stack(fetched))
        if self._collate:
            raise UserError(
                f"{self.title} gives whole batches only, and collate is for samples: "
                "give it __getitem__, or leave collate out for it"
            )
        return _named(fetched)

    def _samples(self, task: Task) -> list[Any]:
        if not self._dataset_draws:
            return [self.dataset[position] for position in task.positions]
        samples: list[Any] = []
        for position in task.positions:
            seed_cpu(numbered_seed(task.samples_seed, position))
            samples.append(self.dataset[position])
        if self._collate:
            seed_cpu(task.batch_seed)
        return samples


def unchanged(batch: Batch) -> Batch:
    """The batch: there is nothing left to do with it."""
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
