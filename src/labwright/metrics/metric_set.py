"""`MetricSet`: the loss and every metric of one pass over a split."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor

from .base import Metric, WeightedMean


class BatchLoss(Protocol):
    """What a batch came to: mean loss, outputs, and the weight of the mean."""

    @property
    def value(self) -> Tensor: ...
    @property
    def outputs(self) -> dict[str, Tensor]: ...
    @property
    def weight(self) -> float: ...


class MetricSet:
    """Takes in batch after batch without waiting for the device; `compute` gives the means over all of them."""

    def __init__(self, metrics: Sequence[Metric]) -> None:
        self._loss = WeightedMean("loss")
        self._metrics = list(metrics)

    def update(self, loss: BatchLoss, batch: Mapping[str, Any]) -> None:
        self._loss.add(loss.value, loss.weight)
        outputs = {"loss": loss.value, **loss.outputs}
        for metric in self._metrics:
            metric.update(outputs, batch, loss.weight)

    def compute(self) -> dict[str, float]:
        """`loss` and each metric by name."""
        return {metric.name: float(metric.compute()) for metric in (self._loss, *self._metrics)}
