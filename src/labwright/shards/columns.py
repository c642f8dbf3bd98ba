"""Values of samples as tensors: one of each sample, or one of a whole batch."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor


def as_tensor(value: Any) -> Any:
    """An array as a tensor that shares its memory where it can; what torch has no dtype for, and all else, as it is."""
    if not isinstance(value, np.ndarray | np.generic):
        return value
    array = np.asarray(value)
    if not array.dtype.isnative:
        array = array.astype(array.dtype.newbyteorder("="))
    if not array.flags.writeable or any(stride < 0 for stride in array.strides):
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except TypeError:  # dates, text, records, long doubles
        return value


def as_column(values: "np.ndarray | Sequence[Any]") -> "Tensor | list[Any]":
    """The values of a batch: stacked where they are numbers or have one shape and dtype, else a list."""
    if isinstance(values, np.ndarray):
        column = as_tensor(values)
        return column if isinstance(column, Tensor) else list(values)
    if not values:
        return []
    first = values[0]
    if isinstance(first, np.ndarray | np.generic) and all(_alike(first, each) for each in values):
        column = as_tensor(np.stack(values))
        return column if isinstance(column, Tensor) else list(values)
    if isinstance(first, Tensor) and all(_alike(first, each) for each in values):
        return torch.stack(list(values))
    if isinstance(first, bool | int | float) and all(type(each) is type(first) for each in values):
        return _numbers(values)
    is_plain = isinstance(first, bytes | str) and all(type(each) is type(first) for each in values)
    return list(values) if is_plain else [as_tensor(each) for each in values]


def _alike(first: Any, value: Any) -> bool:
    return isinstance(value, type(first)) and value.shape == first.shape and value.dtype == first.dtype


def _numbers(values: Sequence[Any]) -> "Tensor | list[Any]":
    try:
        return torch.tensor(values)
    except (OverflowError, RuntimeError):  # beyond 64 bits
        return list(values)
