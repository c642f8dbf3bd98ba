"""Samples into batches."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import default_collate

from labwright.args.errors import UserError

from .batch import Batch


def collate(samples: Sequence[Any]) -> Batch:
    """A batch of samples that are dicts, or (input, target) pairs.

    Numbers, arrays and tensors are stacked, dicts and tuples member by member; anything else becomes a list.
    """
    return named(_stack(samples))


def named(batch: Any) -> Batch:
    """A batch under its names: a dict as it is, a pair as `input` and `target`."""
    if isinstance(batch, dict):
        return batch
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return {"input": batch[0], "target": batch[1]}
    raise UserError(
        "a dataset must give dicts with `input` and `target`, or pairs of them; "
        f"from this one (or its collate function) came a {type(batch).__name__}"
    )


def _stack(samples: Sequence[Any]) -> Any:
    first = samples[0]
    if isinstance(first, Mapping):
        return {key: _stack([sample[key] for sample in samples]) for key in first}
    if isinstance(first, tuple):
        return tuple(_stack(column) for column in zip(*samples, strict=True))
    if isinstance(first, Tensor | np.ndarray | np.generic):
        return default_collate(list(samples))
    if isinstance(first, int | float):
        return torch.tensor(samples)  # Python floats become torch's default type; default_collate makes them float64
    return list(samples)
