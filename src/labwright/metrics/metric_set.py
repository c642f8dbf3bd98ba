"""`MetricSet`: the loss and every metric of one pass over a split."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor

from labwright.args import UserError

from .base import Metric, WeightedMean
from .state import Reader, Writer


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
        self._takers = _takers(self._metrics)
        self._device = torch.device("cpu")

    def update(self, loss: BatchLoss, batch: Mapping[str, Any]) -> None:
        if not loss.value.is_cpu:
            self._device = loss.value.device
        self._loss.add(loss.value, loss.weight)
        outputs = {"loss": loss.value, **loss.outputs}
        for metric in self._takers:
            metric.update(outputs, batch, loss.weight)

    def compute(self) -> dict[str, float]:
        """`loss` and each metric by name."""
        return {metric.name: float(metric.compute()) for metric in self._all()}

    def state_dict(self) -> dict[str, Any]:
        """All that the rest of the pass needs, in nested dicts, lists, tuples, tensors and JSON values.

        What comes of the pass does not change. The tensors are those in use: write them before the next `update`.
        """
        writer = Writer(self._device)
        metrics = [writer.node(metric, metric.name) for metric in self._all()]
        return {"names": self._names(), "metrics": metrics, "objects": writer.objects}

    # Whatever is made under inference_mode could only be changed under inference_mode.
    @torch.inference_mode(False)
    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        """Go on, with new metrics, in the pass that gave `state`, now on `device`; its tensors are copied there."""
        if state["names"] != self._names():
            raise UserError(
                f"the checkpoint was written in a pass that measured {', '.join(state['names'])}, and not "
                f"{', '.join(self._names())}; go on with the same metrics"
            )
        self._device = torch.device(device)
        reader = Reader(state["objects"], self._device)
        for node, metric in zip(state["metrics"], self._all(), strict=True):
            reader.value(node, metric, metric.name)

    @torch.inference_mode(False)
    @torch.no_grad()
    def merge(self, others: "Sequence[MetricSet]", fresh: "MetricSet") -> None:
        """Take in what the same metrics have measured on other ranks; `fresh` has measured nothing."""
        if others:
            for metric, *of_others, new in zip(*(each._all() for each in (self, *others, fresh)), strict=True):
                metric.merge(of_others, new)

    def _all(self) -> list[Metric]:
        return [self._loss, *self._metrics]

    def _names(self) -> list[str]:
        return [metric.name for metric in self._all()]


def _takers(metrics: list[Metric]) -> list[Metric]:
    """The metrics without those for whom another one takes in the batches."""
    collectors = [id(metric if metric.taken_with is None else metric.taken_with) for metric in metrics]
    return [metric for place, metric in enumerate(metrics) if collectors.index(collectors[place]) == place]


def check_state(metric: Metric) -> None:
    """A UserError if the metric, as it is now, could not be saved in the middle of a pass."""
    Writer(torch.device("cpu")).node(metric, metric.name)
