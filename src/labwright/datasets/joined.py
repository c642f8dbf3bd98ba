"""Several datasets as one."""

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch

from labwright.args import UserError

from .batches import PROVENANCE, concatenate, fetch, pick
from .grouped import take_groups
from .provenance import Part
from .splits import Batch, Dataset, get_sample, input_shape, named, quotas
from .view import DatasetView, limit

Interleave = Literal["sequence", "shuffle", "proportional"]
_INTERLEAVE_STREAM = int.from_bytes(b"join")


class InterleavedDataset:
    """Samples of several named datasets in a given order: sample i is `positions[i]` of dataset number `members[i]`.

    Each sample says where it is from: `index` is its position here, which is what predictions and pictures ask for;
    `source` is the name of its dataset and `source_index` its position there. A batch is fetched with one call to each
    dataset in it.
    """

    def __init__(self, datasets: Mapping[str, Dataset], members: np.ndarray, positions: np.ndarray) -> None:
        self.datasets = dict(datasets)
        self.members = members
        self.positions = positions
        self.draws_random_numbers = any(getattr(each, "draws_random_numbers", True) for each in datasets.values())
        self._names = list(datasets)
        self._sets = list(datasets.values())

    def __len__(self) -> int:
        return len(self.members)

    @property
    def input_shape(self) -> tuple[int, ...]:
        return input_shape(next((each for each in self._sets if len(each)), self._sets[0]))

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each sample, where any dataset knows groups; a label means the same group in all of them.

        A sample of a dataset without groups is a group of its own.
        """
        known = [getattr(dataset, "groups", None) for dataset in self._sets]
        if all(groups is None for groups in known):
            return None
        labels = np.empty(len(self), dtype=object)
        for number, groups in enumerate(known):
            rows = np.flatnonzero(self.members == number)
            own = (f"{self._names[number]}[{position}]" for position in self.positions[rows])
            labels[rows] = list(own if groups is None else map(str, np.asarray(groups)[self.positions[rows]]))
        return labels.astype(str)

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        member, position = int(self.members[index]), int(self.positions[index])
        sample = named(get_sample(self._sets[member], position))
        return {**sample, "index": index, "source": self._names[member], "source_index": position}

    def __getitems__(self, indices: list[int]) -> Batch:
        index = np.asarray(indices, dtype=np.int64)
        members, positions = self.members[index], self.positions[index]
        fetched: dict[str, Batch] = {}
        rows: list[np.ndarray] = []
        for member in np.unique(members):
            rows.append(np.flatnonzero(members == member))
            batch = fetch(self._sets[member], positions[rows[-1]].tolist())
            fetched[self._names[member]] = {key: batch[key] for key in batch if key not in PROVENANCE}
        batch = concatenate(fetched)
        if len(rows) > 1:
            batch = pick(batch, torch.from_numpy(np.argsort(np.concatenate(rows))))
        return batch | {
            "index": torch.from_numpy(index),
            "source": [self._names[member] for member in members],
            "source_index": torch.from_numpy(positions),
        }

    def locate(self, positions: np.ndarray) -> list[Part]:
        """Where the samples at these positions come from."""
        members = self.members[positions]
        rows = [np.flatnonzero(members == number) for number in range(len(self._sets))]
        return [
            Part(dataset, self.positions[positions[chosen]], chosen)
            for dataset, chosen in zip(self._sets, rows, strict=True)
        ]


class JoinedDataset(InterleavedDataset):
    """All samples of several named datasets as one dataset: `JoinedDataset({"photos": photos, "scans": scans})`.

    sequence        one dataset behind the other
    shuffle         all mixed up by `seed`
    proportional    each in its own order and spread evenly, so that any stretch holds them in proportion

    A loader that shuffles does so on top of this; the order counts where none does.
    """

    def __init__(self, datasets: Mapping[str, Dataset], *, interleave: Interleave = "sequence", seed: int = 0) -> None:
        if not datasets:
            raise UserError("there is nothing to join: JoinedDataset needs one dataset or more")
        self.interleave: Interleave = interleave
        self.seed = seed
        sizes = [len(dataset) for dataset in datasets.values()]
        members = np.repeat(np.arange(len(sizes)), sizes)
        positions = np.concatenate([np.arange(size) for size in sizes])
        order = self._order(positions, np.repeat(sizes, sizes))
        super().__init__(datasets, members[order], positions[order])

    def _order(self, positions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
        if self.interleave == "sequence":
            return np.arange(len(positions))
        if self.interleave == "proportional":
            return np.argsort((positions + 0.5) / sizes, kind="stable")
        return shuffled(len(positions), self.seed)

    def take(self, num_samples: int, seed: int = 0) -> Dataset:
        """`num_samples` of them, from each dataset in proportion and by its own `take`; groups stay whole."""
        if num_samples >= len(self):
            return self
        groups = self.groups
        if groups is not None:
            return DatasetView(self, take_groups(groups, num_samples, seed))
        sizes = np.array([len(dataset) for dataset in self.datasets.values()])
        counts = quotas(num_samples * sizes / len(self), num_samples, available=sizes, tie_break=-sizes)
        parts = {
            name: limit(dataset, int(count), seed)
            for (name, dataset), count in zip(self.datasets.items(), counts, strict=True)
            if count
        }
        return JoinedDataset(parts, interleave=self.interleave, seed=self.seed)


def shuffled(num_samples: int, *seeds: int) -> np.ndarray:
    """The positions of that many samples in an order that follows from the seeds."""
    rng = np.random.Generator(np.random.PCG64([*seeds, _INTERLEAVE_STREAM]))
    return np.argsort(rng.random(num_samples), kind="stable")
