"""Where samples come from: views, joined, zipped, mixed and mapped datasets traced to the bottom. No torch."""

import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from .splits import Dataset


class Part(NamedTuple):
    """Some of the samples asked for: those at `rows` among them are the samples `positions` of `dataset`."""

    dataset: Dataset
    positions: np.ndarray
    rows: np.ndarray


@runtime_checkable
class ComposedDataset(Protocol):
    """Made of other datasets, and able to say how; give yours `locate`, and the overlap check sees through it."""

    def locate(self, positions: np.ndarray) -> Sequence[Part]: ...


class Origin(NamedTuple):
    """What a sample can be recognized by wherever it turns up."""

    key: str | int
    """The source by name, or the identity of the dataset object itself."""
    name: str
    indices: np.ndarray


def unfold(dataset: Dataset) -> list[Part]:
    """The datasets that all samples really come from, each once: distinct positions, and where they are found first."""
    found: dict[int, list[Part]] = {}

    def walk(dataset: Dataset, positions: np.ndarray, rows: np.ndarray) -> None:
        parts = _parts(dataset, positions)
        if parts is None:
            found.setdefault(id(dataset), []).append(Part(dataset, positions, rows))
            return
        for part in parts:
            walk(part.dataset, part.positions, rows[part.rows])

    everything = np.arange(len(dataset))
    walk(dataset, everything, everything)
    return [_merged(parts) for parts in found.values()]


def _parts(dataset: Any, positions: np.ndarray) -> Sequence[Part] | None:
    """One step down; None at the bottom."""
    if isinstance(dataset, ComposedDataset):
        return dataset.locate(positions)
    torch = sys.modules.get("torch")
    if torch and isinstance(dataset, torch.utils.data.Subset):
        return [Part(dataset.dataset, np.asarray(dataset.indices)[positions], np.arange(len(positions)))]
    return None


def _merged(parts: list[Part]) -> Part:
    if len(parts) == 1 and bool((np.diff(parts[0].positions) > 0).all()):
        return parts[0]
    positions, first = np.unique(np.concatenate([part.positions for part in parts]), return_index=True)
    return Part(parts[0].dataset, positions, np.concatenate([part.rows for part in parts])[first])


def origin(part: Part) -> Origin:
    """By `source` and `source_indices` where the dataset has them; else the object itself is the source."""
    source: str | None = getattr(part.dataset, "source", None)
    indices: Any = getattr(part.dataset, "source_indices", None)
    if source is None or indices is None:
        return Origin(id(part.dataset), type(part.dataset).__name__, part.positions)
    return Origin(source, source, np.asarray(indices)[part.positions])
