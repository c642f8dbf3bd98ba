"""Whether torch can take the steps of some parameters in one kernel."""

from collections.abc import Collection
from typing import Any

from torch import Tensor

DEVICES = frozenset({"cpu", "cuda", "xpu", "mps"})
"""Where torch documents a fused kernel of most optimizers."""


def why_not_fused(parameters: list[Any], devices: Collection[str] | None = None) -> str | None:
    """What keeps `parameters` (tensors, (name, tensor) pairs or groups) from a fused step; None: nothing does."""
    devices = DEVICES if devices is None else devices
    for member in parameters:
        if isinstance(member, dict) and member.get("fused") is False:
            return "a layer has sparse gradients"
    for parameter in _tensors(parameters):
        if parameter.device.type not in devices:
            return f"torch has no such kernel for {parameter.device.type}"
        if not parameter.is_floating_point():
            return f"torch has no such kernel for {str(parameter.dtype).removeprefix('torch.')}"
    return None


def _tensors(parameters: list[Any]) -> list[Tensor]:
    members = [group["params"] if isinstance(group, dict) else group for group in parameters]
    flat: list[Any] = []
    for member in members:
        flat += [member] if isinstance(member, Tensor | tuple) else list(member)
    return [member[1] if isinstance(member, tuple) else member for member in flat]
