"""Datasets side by side."""

from typing import Any

import numpy as np
import torch

from labwright.args import UserError

from .batches import PROVENANCE, fetch
from .joined import shuffled
from .provenance import Part
from .splits import Batch, Dataset, get_sample, input_shape, named


class ZippedDataset:
    """Sample i of each dataset in one sample: `ZippedDataset(labeled=few, unlabeled=many)`. Shorter ones start over.

    The first dataset is the main one: its keys stay as they are, so that whatever reads `input` and `target` goes on
    working. The keys of the others get their name in front: `unlabeled_input`. `index` is the position here, `source`
    the first dataset's name and `source_index` the position in it; `unlabeled_index` is the position in `unlabeled`.

    With a `seed`, each dataset comes in an order of its own that follows from it, so that other samples stand side by
    side; `source_index` and `unlabeled_index` say which.

    Zip after splitting: where a shorter dataset starts over, its samples stand beside several of the others.
    """

    def __init__(self, *, seed: int | None = None, **datasets: Dataset) -> None:
        if not datasets:
            raise UserError("there is nothing to zip: ZippedDataset needs one dataset or more")
        for name, dataset in datasets.items():
            if len(dataset) == 0:
                raise UserError(f"{name!r} has no samples to zip")
        self.datasets = datasets
        self.draws_random_numbers = any(getattr(each, "draws_random_numbers", True) for each in datasets.values())
        self._main = next(iter(datasets))
        self._orders: dict[str, np.ndarray] = {}
        """Of each dataset that does not come in its own."""
        if seed is not None:
            self._orders = {
                name: shuffled(len(dataset), seed, number) for number, (name, dataset) in enumerate(datasets.items())
            }

    def __len__(self) -> int:
        return max(map(len, self.datasets.values()))

    @property
    def input_shape(self) -> tuple[int, ...]:
        return input_shape(self.datasets[self._main])

    @property
    def groups(self) -> np.ndarray | None:
        """The group of each sample, by the first dataset that knows groups."""
        for name, dataset in self.datasets.items():
            groups = getattr(dataset, "groups", None)
            if groups is not None:
                return np.asarray(groups)[self._positions(name, np.arange(len(self)))]
        return None

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        positions = {name: int(self._positions(name, np.asarray(index))) for name in self.datasets}
        samples = {name: named(get_sample(dataset, positions[name])) for name, dataset in self.datasets.items()}
        return self._merged(samples, positions) | {"index": index, "source": self._main}

    def __getitems__(self, indices: list[int]) -> Batch:
        index = torch.as_tensor(indices, dtype=torch.int64)
        positions = {name: torch.from_numpy(self._positions(name, index.numpy())) for name in self.datasets}
        batches = {name: fetch(dataset, positions[name].tolist()) for name, dataset in self.datasets.items()}
        return self._merged(batches, positions) | {"index": index, "source": [self._main] * len(index)}

    def _merged(self, parts: dict[str, Any], positions: dict[str, Any]) -> dict[str, Any]:
        """The samples or batches under one roof."""
        merged: dict[str, Any] = {"source_index": positions[self._main]}
        for name, part in parts.items():
            prefix = "" if name == self._main else f"{name}_"
            own = {f"{prefix}{key}": value for key, value in part.items() if key not in PROVENANCE}
            own |= {f"{prefix}index": positions[name]} if prefix else {}
            for key in merged.keys() & own.keys():
                raise UserError(f"two of the zipped datasets give {key!r}; call {name!r} something else")
            merged |= own
        return merged

    def locate(self, positions: np.ndarray) -> list[Part]:
        """Where the samples at these positions come from: all datasets, for each of them."""
        rows = np.arange(len(positions))
        return [Part(dataset, self._positions(name, positions), rows) for name, dataset in self.datasets.items()]

    def _positions(self, name: str, index: np.ndarray) -> np.ndarray:
        """Where in that dataset the samples are that stand at `index` here."""
        within = index % len(self.datasets[name])
        return self._orders[name][within] if name in self._orders else within
