"""The default strategy: torch's DistributedDataParallel around whatever computes the loss."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

T = TypeVar("T")


class _Call(nn.Module):
    """Holds the model, so that a function that uses it can be called as a forward pass."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        # Takes no part in anything: where every parameter takes part, DistributedDataParallel warns that looking for
        # the others is in vain.
        device = next((parameter.device for parameter in model.parameters()), None)
        self.unused = nn.Parameter(torch.zeros((), device=device))

    def forward(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


class DataParallel:
    """Every rank has the whole model; gradients are averaged over the ranks while they are computed.

    The model itself stays as it is: its attributes, and the names in its state dict.
    """

    def __init__(self, model: nn.Module) -> None:
        # Looking for unused parameters also keeps the buckets of gradients as they are first made, so that sums over
        # three or more ranks are rounded alike in a run that was resumed.
        self._ddp = DistributedDataParallel(_Call(model), find_unused_parameters=True)
        self._is_held = False

    def hold_gradients(self, is_held: bool) -> None:
        """Whether the gradients of the next call stay with this rank, since more of its window is to come."""
        self._is_held = is_held

    def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)`; the backward pass of what it gives averages the gradients of the window."""
        if not self._is_held:
            return self._ddp(function, *args)
        with self._ddp.no_sync():
            return self._ddp(function, *args)

    def drop_gradients(self) -> None:
        """Forget what a window left that was broken off: here nothing that the stepper does not drop."""

    def whole(self) -> AbstractContextManager[None]:
        """A block in which the model has all its weights, as it always has here."""
        return nullcontext()
