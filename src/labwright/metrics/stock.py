"""The metrics that classification and regression start with."""

from collections.abc import Mapping
from typing import Any, Literal

from torch import Tensor

from .base import Metric, WeightedMean


def metrics_for(task: Literal["classification", "regression"]) -> list[Metric]:
    """New metrics for a task; the first is the main one."""
    if task == "classification":
        return [Accuracy()]
    return [MeanSquaredError(), MeanAbsoluteError()]


class Accuracy(WeightedMean):
    """The share of samples whose largest of the `logits` is the target's; the last dimension is the classes."""

    def __init__(self) -> None:
        super().__init__("accuracy", higher_is_better=True)

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        predicted = outputs["logits"].argmax(-1)
        target: Tensor = batch["target"]
        _require_same_shape(self.name, predicted, target)
        # By targets rather than by the loss's weight: class weights in the loss do not change what accuracy is.
        self.add_sum((predicted == target).sum(), target.numel())


class MeanSquaredError(WeightedMean):
    """The mean over samples and target columns of the squared difference between `prediction` and target."""

    def __init__(self) -> None:
        super().__init__("mse")

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        difference = _difference(self.name, outputs["prediction"], batch["target"])
        self.add(difference.square().mean(), difference.numel())


class MeanAbsoluteError(WeightedMean):
    """The mean over samples and target columns of the absolute difference between `prediction` and target."""

    def __init__(self) -> None:
        super().__init__("mae")

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        difference = _difference(self.name, outputs["prediction"], batch["target"])
        self.add(difference.abs().mean(), difference.numel())


def _difference(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    if prediction.ndim == target.ndim + 1 and prediction.shape[-1] == 1:
        target = target.unsqueeze(-1)  # one target column, written as a plain list
    _require_same_shape(name, prediction, target)
    return prediction.detach() - target


def _require_same_shape(name: str, prediction: Tensor, target: Tensor) -> None:
    # Otherwise [n] against [n, 1] would quietly compare every prediction with every target.
    if prediction.shape != target.shape:
        raise ValueError(f"{name}: predictions are {list(prediction.shape)}, but targets are {list(target.shape)}")
