"""What travels between a dataset, the loss and the metrics."""

from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

Batch: TypeAlias = dict[str, Any]
"""Tensors and lists by name: `input`, `target`, `index` (position in its dataset), `source` (dataset names), and what
an experiment adds. `Any`, since whoever reads a key knows which of the two it holds."""


class PlacedBatch(dict[str, Any]):
    """A batch that lies on its device already, all but `index`: that can be read without waiting for the device.

    `to_device` puts the index that is there, `placed_index`, in its place.
    """

    def __init__(self, batch: Batch, index: Any) -> None:
        super().__init__(batch)
        self.placed_index = batch["index"]
        self["index"] = index


class Loss(NamedTuple):
    """What a batch came to."""

    value: Tensor
    """The mean loss of the batch."""
    outputs: dict[str, Tensor]
    """Tensors for metrics and predictions, such as `logits`."""
    weight: float
    """What the mean was taken over: samples, or tokens."""

    def detach(self) -> "Loss":
        """The same numbers without the graph that led to them, whose memory is then free."""
        outputs = {name: output.detach() for name, output in self.outputs.items()}
        return Loss(self.value.detach(), outputs, self.weight)


def to_device(batch: Batch, device: torch.device, non_blocking: bool = False) -> Batch:
    """The batch with its tensors on `device`; what is not a tensor stays as it is.

    `non_blocking` overlaps the copy with computation when the batch lies in pinned memory.
    """
    if isinstance(batch, PlacedBatch):
        batch = {**batch, "index": batch.placed_index}
    moved: Batch = {}
    is_on_cpu = device.type == "cpu"
    for key, value in batch.items():
        # quicker to ask than a `to` that does nothing
        is_there = isinstance(value, Tensor) and (value.is_cpu if is_on_cpu else value.device == device)
        moved[key] = value if is_there else _move(value, device, non_blocking)
    return moved


def _move(value: Any, device: torch.device, non_blocking: bool) -> Any:
    if isinstance(value, Tensor):
        return value.to(device, non_blocking=non_blocking)
    if isinstance(value, dict):
        return {key: _move(part, device, non_blocking) for key, part in value.items()}
    # Names come in long lists, so only the first element is looked at.
    if isinstance(value, list) and value and isinstance(value[0], Tensor):
        return [_move(part, device, non_blocking) for part in value]
    return value
