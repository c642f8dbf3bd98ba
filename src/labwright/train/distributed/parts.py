"""Tensors of which each rank has a part: DTensors, which whoever has none need not import."""

from collections.abc import Callable

from torch import Tensor


def is_shared_out(tensor: Tensor) -> bool:
    """Whether each rank has a part of it."""
    return hasattr(tensor, "full_tensor")


def whole(tensor: Tensor) -> Tensor:
    """A tensor of all ranks where each has a part of it, or its share of a sum; all ranks must ask for it."""
    full: Callable[[], Tensor] | None = getattr(tensor, "full_tensor", None)
    return tensor if full is None else full()
