"""Whole batches of any dataset, and batches put together from several."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from labwright.args import UserError

from .splits import Batch, Dataset, named

PROVENANCE = ("index", "source", "source_index")
"""Where a sample is from: position in the dataset asked, name of the one behind it, position there."""


def fetch(dataset: Dataset, positions: list[int]) -> Batch:
    """The samples at these positions as one batch, whichever way the dataset gives them."""
    source: Any = dataset
    if not hasattr(source, "__getitems__"):
        return _stack([named(source[position]) for position in positions])
    fetched = source.__getitems__(positions)
    return fetched if isinstance(fetched, dict) else _stack([named(sample) for sample in fetched])


def _stack(samples: Sequence[Mapping[str, Any]]) -> Batch:
    """Samples as a batch: numbers, arrays and tensors stacked, dicts by key, the rest as a list."""
    return {key: _column([sample[key] for sample in samples]) for key in samples[0]}


def _column(values: list[Any]) -> Any:
    if isinstance(values[0], Mapping):
        return _stack(values)
    if isinstance(values[0], int | float):
        return torch.tensor(values)  # default_collate would make Python floats float64
    return default_collate(values) if isinstance(values[0], Tensor | np.ndarray | np.generic) else values


def pick(batch: Mapping[str, Any], rows: Tensor) -> Batch:
    """The samples of a batch at `rows`."""
    return {key: _pick(values, rows) for key, values in batch.items()}


def _pick(values: Any, rows: Tensor) -> Any:
    if isinstance(values, Mapping):
        return pick(values, rows)
    return values.index_select(0, rows) if isinstance(values, Tensor) else [values[row] for row in rows.tolist()]


def concatenate(batches: Mapping[str, Batch]) -> Batch:
    """Batches of several datasets, one behind the other; a UserError names two that do not fit together."""
    (first, batch), *others = batches.items()
    for name, other in others:
        if batch.keys() != other.keys():
            keys, more = (", ".join(map(repr, each)) for each in (batch, other))
            raise UserError(f"samples of {first!r} and {name!r} do not mix: one has {keys}, the other {more}")
    return {key: _joined(key, {name: each[key] for name, each in batches.items()}) for key in batch}


def _joined(key: str, columns: Mapping[str, Any]) -> Any:
    (first, column), *others = columns.items()
    if isinstance(column, Mapping):
        return concatenate(columns)
    if not isinstance(column, Tensor):
        return [value for each in columns.values() for value in each]
    for name, other in others:
        if (column.shape[1:], column.dtype) != (other.shape[1:], other.dtype):
            raise UserError(
                f"samples of {first!r} and {name!r} do not mix: `{key}` is {_kind(column)} in one and "
                f"{_kind(other)} in the other"
            )
    return torch.cat(list(columns.values()))


def _kind(column: Tensor) -> str:
    return f"{str(column.dtype).removeprefix('torch.')} {list(column.shape[1:])}"
