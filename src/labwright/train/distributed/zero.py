"""Optimizers whose state is shared out over the ranks (ZeRO stage 1; Rajbhandari et al., 2020)."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch.optim import Optimizer

from labwright.args.errors import UserError

if TYPE_CHECKING:
    from torch.distributed.optim import ZeroRedundancyOptimizer


def zero_class() -> "type[ZeroRedundancyOptimizer]":
    """Its class, imported by those alone who share out: that takes a second."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of torch.jit, about other optimizers there
        from torch.distributed.optim import ZeroRedundancyOptimizer
    return ZeroRedundancyOptimizer


def share_out(optimizer: Optimizer) -> "ZeroRedundancyOptimizer":
    """An optimizer that takes the same steps as `optimizer`, a fresh one; each rank steps a part of the parameters.

    Raises:
        UserError: its class cannot be made anew from the settings it keeps.
    """
    kind, groups, defaults = type(optimizer), optimizer.param_groups, optimizer.defaults
    accepted = inspect.signature(kind).parameters
    settings = {name: value for name, value in defaults.items() if name in accepted}
    try:
        shared = zero_class()(groups, kind, **settings)
    except TypeError as error:
        raise _cannot_share_out(kind, str(error)) from error
    differing = [name for name, value in defaults.items() if shared.optim.defaults.get(name) != value]
    if differing:
        raise _cannot_share_out(kind, f"its constructor does not take {', '.join(differing)}")
    return shared


def optimizer_state(optimizer: Optimizer) -> dict[str, Any]:
    """The state dict of an optimizer, made whole on rank 0 where it is shared out; other ranks have none of that.

    All ranks must call it.
    """
    consolidate: Callable[[int], None] | None = getattr(optimizer, "consolidate_state_dict", None)
    if consolidate is None:
        return optimizer.state_dict()
    consolidate(0)
    return optimizer.state_dict() if torch.distributed.get_rank() == 0 else {}


def load_optimizer_state(optimizer: Optimizer, state: Mapping[str, Any]) -> None:
    """Continue from a whole state, each rank with its part of it."""
    if hasattr(optimizer, "consolidate_state_dict"):
        state = {**state, "state": dict(state["state"])}  # it forgets other ranks' part, in place
    optimizer.load_state_dict(dict(state))


def _cannot_share_out(kind: type[Optimizer], why: str) -> UserError:
    return UserError(f"--strategy=zero cannot make a {kind.__name__} of each rank's parameters: {why}")
