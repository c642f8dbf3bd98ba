"""Tensors that share memory: which of them to store, and how to describe the others by them."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Place:
    """Where a tensor stands in a state, and the node that will stand there in its place."""

    name: str
    tensor: Tensor
    node: dict[str, Any] = field(default_factory=dict)


def share_memory(places: Sequence[Place]) -> dict[str, Tensor]:
    """The tensors to store, by name. Fills in the node of each place.

    Memory is stored once where one tensor is, or lies within, another's; tensors that merely overlap are stored apart.
    """
    by_memory: defaultdict[Any, list[Place]] = defaultdict(list)
    for number, place in enumerate(places):
        tensor = place.tensor
        if tensor.layout != torch.strided or tensor.is_quantized or tensor.is_meta:
            raise TypeError(f"{place.name}: a sparse, quantized or meta tensor cannot be saved in a checkpoint")
        memory = tensor.untyped_storage().data_ptr() if tensor.numel() else number
        by_memory[tensor.device, tensor.dtype, memory].append(place)
    hosts: list[Place] = []
    for members in by_memory.values():
        hosts += _choose_hosts(members)
    return {host.name: torch.view_as_real(t) if (t := host.tensor).is_complex() else t for host in hosts}


def restore_tensor(stored: Tensor, node: dict[str, Any]) -> Tensor:
    """The tensor that a host's node describes, from its stored values."""
    tensor = torch.view_as_complex(stored) if "complex" in node else stored
    stride = node.get("stride")
    if stride is None:
        return tensor
    if not _is_dense(tensor.shape, stride):
        raise ValueError(f"strides {stride} do not fit the shape {list(tensor.shape)}")
    return torch.empty_strided(tensor.shape, stride, dtype=tensor.dtype).copy_(tensor)


def _choose_hosts(members: list[Place]) -> list[Place]:
    """The tensors of one memory that contain the others."""
    if len(members) == 1:
        members[0].node.update(_node(members[0]))
        return members
    hosts: list[Place] = []
    seen: dict[Any, Place] = {}
    widest: Place | None = None  # the contiguous host that reaches furthest
    # By where they start, the longest first: what contains a tensor comes before it.
    for place in sorted(members, key=lambda p: (_start(p.tensor), -_end(p.tensor), not p.tensor.is_contiguous())):
        tensor = place.tensor
        shape_and_stride = tensor.shape, tensor.stride()
        same = seen.setdefault((_start(tensor), *shape_and_stride), place)
        if same is not place:
            place.node.update(same.node)
        elif widest is not None and _end(tensor) <= _end(widest.tensor):
            offset = _start(tensor) - _start(widest.tensor)
            place.node.update(widest.node, view=[*map(list, shape_and_stride), offset])
        else:
            place.node.update(_node(place))
            hosts.append(place)
            widest = place if tensor.is_contiguous() else widest
    return hosts


def _node(host: Place) -> dict[str, Any]:
    node: dict[str, Any] = {"tensor": host.name}
    tensor = host.tensor
    if tensor.is_complex():
        node["complex"] = True
    # Without its strides a channels-last state would come back in another layout than its parameter, and fused
    # optimizers refuse that.
    if not _has_default_stride(tensor) and _is_dense(tensor.shape, tensor.stride()):
        node["stride"] = list(tensor.stride())
    return node


def _start(tensor: Tensor) -> int:
    return int(tensor.storage_offset())


def _end(tensor: Tensor) -> int:
    """One past the last element in memory, counted in elements."""
    if tensor.numel() == 0:
        return _start(tensor)
    reach = sum((size - 1) * stride for size, stride in zip(tensor.shape, tensor.stride(), strict=True))
    return _start(tensor) + reach + 1


def _has_default_stride(tensor: Tensor) -> bool:
    expected = 1
    for size, stride in zip(reversed(tensor.shape), reversed(tensor.stride()), strict=True):
        if stride != expected:
            return False
        expected *= max(size, 1)
    return True


def _is_dense(shape: Sequence[int], stride: Sequence[int]) -> bool:
    """Whether the elements fill their memory without a gap or an overlap, in some order of the dimensions."""
    expected = 1
    for step, size in sorted((step, size) for size, step in zip(shape, stride, strict=True) if size != 1):
        if step != expected:
            return False
        expected *= size
    return True
