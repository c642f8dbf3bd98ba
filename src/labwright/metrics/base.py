"""What a metric is, and the mean most of them are."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from .state import Stateful


class Metric(Stateful, ABC):
    """A number over one pass over a split, and the class that a metric of your own subclasses.

    `update` stays on the device; only `compute` waits for it. Each pass has a new metric. A run that was stopped in the
    middle of a pass goes on with the attributes it had; one that a checkpoint cannot hold needs the metric's own
    `state_dict` and `load_state_dict`.

        class LargestError(Metric):
            name = "largest_error"
            higher_is_better = False

            def __init__(self) -> None:
                self._largest: list[Tensor] = []

            def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
                self._largest.append((outputs["prediction"] - batch["target"]).abs().max())

            def compute(self) -> float:
                return torch.stack(self._largest).max().item() if self._largest else math.nan
    """

    name: str
    higher_is_better: bool

    @property
    def taken_with(self) -> object | None:
        """What collects the batches for several metrics: a `MetricSet` hands each batch to the first of them alone."""
        return None

    @abstractmethod
    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        """Take in a batch: the loss's outputs (the loss itself as `loss`), the batch and the loss's weight."""

    @abstractmethod
    def compute(self) -> float:
        """The metric over everything taken in; NaN if there was nothing."""


class WeightedMean(Metric):
    """The mean of a value by weight, such as the loss: the output of that name, which is a batch's mean."""

    def __init__(self, name: str = "loss", *, higher_is_better: bool = False) -> None:
        self.name = name
        self.higher_is_better = higher_is_better
        self._total: Tensor | float = 0.0
        self._weight = 0.0

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self.add(outputs[self.name], weight)

    def add(self, value: Tensor, weight: float) -> None:
        """Count `value` (a mean) `weight` times."""
        if weight == 0:
            return  # a mean over nothing may be NaN
        if value.is_cpu:  # nobody has to wait for it
            self._total += value.item() * weight
        else:
            self._sum_on(value.device).add_(value.detach(), alpha=weight)
        self._weight += weight

    def add_sum(self, total: Tensor, weight: float) -> None:
        """Count values that were summed already: `total` is the sum of `weight` of them."""
        if total.is_cpu:
            self._total += total.item()
        else:
            self._sum_on(total.device).add_(total.detach())
        self._weight += weight

    def compute(self) -> float:
        return float(self._total) / self._weight if self._weight else math.nan

    def _sum_on(self, device: torch.device) -> Tensor:
        if not isinstance(self._total, Tensor):
            self._total = _sum_from(self._total, device)
        return self._total


def widest_float(device: torch.device) -> torch.dtype:
    """Double precision where the device has it."""
    return torch.float32 if device.type == "mps" else torch.float64


def at_least_single(values: Tensor) -> Tensor:
    """In single precision, or double as it is."""
    return values if values.dtype == torch.float64 else values.float()


def _sum_from(start: float, device: torch.device) -> Tensor:
    # Made under inference_mode it could only be added to under inference_mode.
    with torch.inference_mode(False):
        return torch.full((), start, dtype=widest_float(device), device=device)
