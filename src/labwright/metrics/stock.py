"""The metrics that classification and regression start with, and perplexity; they need no torchmetrics."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .base import Metric, WeightedMean, at_least_single

_COUNTED_AT_ONCE = 2**12  # targets
_SMALL = 2**12  # logits of a batch
_COMPARED_AT_ONCE = 2**18  # logits, at most
_LARGEST_EXPONENT = 709  # of e, in double precision


def metrics_for(task: str | None, threshold: float | None = None) -> list[Metric]:
    """New metrics for a task, the main one first: of classification and regression; of any other there are none.

    `threshold` is that of a binary classifier.
    """
    if task == "classification":
        return [Accuracy(threshold)]
    return [MeanSquaredError(), MeanAbsoluteError()] if task == "regression" else []


class Accuracy(WeightedMean):
    """The share of samples whose largest of the `logits` is the target's; the last dimension is the classes.

    A yes or no may have a single logit, [samples] or [samples, 1]. A `threshold`, one half if unset, decides where
    there are two classes.
    """

    def __init__(self, threshold: float | None = None) -> None:
        super().__init__("accuracy", higher_is_better=True)
        self._threshold = threshold
        self._waiting: list[tuple[Tensor, Tensor]] = []
        """Logits and targets of small batches, to be compared together."""
        self._are_right: list[Tensor] = []
        self._num_waiting = 0

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        logits, target = outputs["logits"], batch["target"]
        if logits.requires_grad:
            logits = logits.detach()
        if self._may_wait(logits, target):
            # Copies: a step may write its outputs, and a loader its batches, to the same memory each time.
            self._waiting.append((logits.clone(), target.clone()))
            if len(self._waiting) * logits.numel() >= _COMPARED_AT_ONCE:
                self._compare_waiting()
        else:
            self._compare_waiting()
            self._compare(logits, target)
        self._num_waiting += target.numel()
        if self._num_waiting >= _COUNTED_AT_ONCE:
            self._count()

    def compute(self) -> float:
        self._count()
        return super().compute()

    def state_dict(self) -> dict[str, Any]:
        self._compare_waiting()
        return {name: value for name, value in vars(self).items() if name != "_waiting"}

    def merge(self, others: Sequence[Any], fresh: Any) -> None:
        for metric in (self, *others):
            metric._compare_waiting()
        super().merge(others, fresh)

    def _may_wait(self, logits: Tensor, target: Tensor) -> bool:
        """Whether this is a small batch, one like those that wait."""
        return (
            logits.numel() <= _SMALL
            and logits.ndim == 2
            and logits.shape[1] != 1
            and logits.shape[:1] == target.shape
            and (not self._waiting or logits.shape == self._waiting[0][0].shape)
        )

    def _compare_waiting(self) -> None:
        if self._waiting:
            logits, targets = zip(*self._waiting, strict=True)
            self._waiting = []
            self._compare(torch.cat(logits), torch.cat(targets))

    def _compare(self, logits: Tensor, target: Tensor) -> None:
        predicted = self._predicted(logits)
        if logits.ndim > 1 and logits.shape[-1] == 1 and logits.shape == target.shape:
            target = target.squeeze(-1)
        require_same_shape(self.name, predicted, target)
        # Counted together, since counting takes as long as comparing.
        self._are_right.append(predicted == target)

    def _count(self) -> None:
        self._compare_waiting()
        if self._are_right:
            num_right = torch.cat([each.flatten() for each in self._are_right]).sum()
            # By targets rather than by the loss's weight: class weights in the loss do not change what accuracy is.
            self.add_sum(num_right, self._num_waiting)
            self._are_right, self._num_waiting = [], 0

    def _predicted(self, logits: Tensor) -> Tensor:
        is_single = logits.ndim == 1 or logits.shape[-1] == 1
        if is_single or (self._threshold is not None and logits.shape[-1] == 2):
            return positive_probability(logits) > (0.5 if self._threshold is None else self._threshold)
        return logits.argmax(-1)


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


def positive_probability(logits: Tensor) -> Tensor:
    """The probability of the positive class of two, [...], from logits [samples], [..., 1] or [..., 2].

    It is what a threshold is compared with, everywhere.
    """
    return positive_logits(logits).sigmoid()


def positive_logits(logits: Tensor) -> Tensor:
    """The log-odds of the positive class, whose sigmoid `positive_probability` is."""
    logits = at_least_single(logits)
    if logits.ndim == 1:
        return logits
    if logits.shape[-1] == 1:
        return logits.squeeze(-1)
    negative, positive = logits.unbind(-1)
    return positive - negative  # the softmax of two is the sigmoid of their difference


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
