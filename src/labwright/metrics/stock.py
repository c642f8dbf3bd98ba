"""The metrics that classification and regression start with, and perplexity; they need no torchmetrics."""

import math
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .base import Metric, WeightedMean

_LARGEST_EXPONENT = 709  # of e, in double precision


def metrics_for(task: str | None) -> list[Metric]:
    """New metrics for a task, the main one first: of classification and regression; of any other there are none."""
    if task == "classification":
        return [Accuracy()]
    return [MeanSquaredError(), MeanAbsoluteError()] if task == "regression" else []


class Accuracy(WeightedMean):
    """The share of samples whose largest of the `logits` is the target's; the last dimension is the classes."""

    def __init__(self) -> None:
        super().__init__("accuracy", higher_is_better=True)

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        predicted = outputs["logits"].argmax(-1)
        target: Tensor = batch["target"]
        require_same_shape(self.name, predicted, target)
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


class Perplexity(WeightedMean):
    """exp of the mean loss, for one that is a cross-entropy in nats; weighted as the loss is, by tokens.

    `loss` names another output to take instead: a loss with a penalty or with smoothed labels is no cross-entropy.
    """

    def __init__(self, loss: str = "loss") -> None:
        super().__init__("perplexity")
        self._loss = loss

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self.add(outputs[self._loss], weight)

    def compute(self) -> float:
        mean = super().compute()
        return math.exp(mean) if not mean > _LARGEST_EXPONENT else math.inf


def _difference(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    return prediction.detach() - aligned(name, prediction, target)


def aligned(name: str, prediction: Tensor, target: Tensor) -> Tensor:
    """The targets in the shape of the predictions; an error named `name` if they have another."""
    if prediction.ndim == target.ndim + 1 and prediction.shape[-1] == 1:
        target = target.unsqueeze(-1)  # one target column, written as a plain list
    require_same_shape(name, prediction, target)
    return target


def require_same_shape(name: str, prediction: Tensor, target: Tensor) -> None:
    """An error named `name` unless each prediction has its own target."""
    # Otherwise [n] against [n, 1] would quietly compare every prediction with every target.
    if prediction.shape != target.shape:
        raise ValueError(f"{name}: predictions are {list(prediction.shape)}, but targets are {list(target.shape)}")
