"""How often each class was predicted, was there, and was both; and the metrics that this tells."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torchmetrics
from torch import Tensor

from .readings import ClassReading
from .state import Stateful


@dataclass
class Counts:
    """How often each class was predicted, was there, and was both, in double precision."""

    both: Tensor
    predicted: Tensor
    actual: Tensor
    num_samples: Tensor

    @property
    def precision(self) -> Tensor:
        return _ratio(self.both, self.predicted)

    @property
    def recall(self) -> Tensor:
        return _ratio(self.both, self.actual)

    @property
    def f1(self) -> Tensor:
        return _ratio(2 * self.both, self.predicted + self.actual)

    @property
    def iou(self) -> Tensor:
        return _ratio(self.both, self.predicted + self.actual - self.both)

    def together(self) -> "Counts":
        """All classes as one."""
        return Counts(self.both.sum(), self.predicted.sum(), self.actual.sum(), self.num_samples.sum())

    def foreground(self) -> "Counts":
        """All classes but the first."""
        return Counts(self.both[1:], self.predicted[1:], self.actual[1:], self.num_samples[1:])

    def mean(self, rates: Tensor) -> Tensor:
        """Over the classes that occur or are predicted."""
        return self.each(rates).nanmean()

    def each(self, rates: Tensor) -> Tensor:
        """NaN for a class that neither occurs nor is predicted."""
        return rates.where(self.predicted + self.actual > 0, math.nan)

    def agreement(self) -> dict[str, Tensor]:
        """What is told by samples that have one class each."""
        actual, predicted = self.actual / self.num_samples, self.predicted / self.num_samples
        accuracy, by_chance = self.both.sum() / self.num_samples[0], (actual * predicted).sum()
        spread = (1 - actual.square().sum()) * (1 - predicted.square().sum())
        return {
            "accuracy": accuracy,
            "balanced_accuracy": self.recall[actual > 0].mean(),
            "mcc": _ratio(accuracy - by_chance, spread.sqrt()),
            "cohen_kappa": (accuracy - by_chance) / (1 - by_chance),
        }


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """`part / whole`, or 0 where `whole` is."""
    return (part / whole).where(whole > 0, 0.0)


class CountsGauge(Stateful):
    """Metrics that follow from how often labels and targets meet."""

    def __init__(self, state: torchmetrics.Metric, tell: Callable[[Counts], dict[str, Tensor]]) -> None:
        self._state, self._tell = state, tell

    def update(self, reading: ClassReading) -> None:
        self._state.to(reading.target.device).update(reading.labels, reading.target)

    def compute(self) -> Mapping[str, Tensor]:
        tp, fp, tn, fn, support = self._state.compute().cpu().double().reshape(-1, 5).unbind(-1)
        return self._tell(Counts(tp, tp + fp, support, tp + fp + tn + fn))


def tell_binary(counts: Counts) -> dict[str, Tensor]:
    return counts.agreement() | {
        "precision": counts.precision[1],
        "recall": counts.recall[1],
        "specificity": counts.recall[0],
        "f1": counts.f1[1],
        "f1_micro": counts.together().f1,
        "f1_macro": counts.mean(counts.f1),
    }


def tell_multiclass(counts: Counts) -> dict[str, Tensor]:
    return (
        _tell_micro_and_per_class(counts)
        | counts.agreement()
        | {
            "precision_macro": counts.mean(counts.precision),
            "recall_macro": counts.mean(counts.recall),
            "f1_macro": counts.mean(counts.f1),
        }
    )


def tell_multilabel(counts: Counts) -> dict[str, Tensor]:
    wrong = counts.predicted + counts.actual - 2 * counts.both
    return _tell_micro_and_per_class(counts) | {
        "hamming_loss": wrong.sum() / counts.num_samples.sum(),
        "precision_macro": counts.precision.mean(),
        "recall_macro": counts.recall.mean(),
        "f1_macro": counts.f1.mean(),
    }


def _tell_micro_and_per_class(counts: Counts) -> dict[str, Tensor]:
    together = counts.together()
    return {
        "precision_micro": together.precision,
        "precision_per_class": counts.each(counts.precision),
        "recall_micro": together.recall,
        "recall_per_class": counts.each(counts.recall),
        "f1_micro": together.f1,
        "f1_per_class": counts.each(counts.f1),
    }


def tell_segmentation(counts: Counts) -> dict[str, Tensor]:
    """Dice of a class is the F1 of its pixels."""
    return tell_foreground(counts) | {
        "dice": counts.mean(counts.f1),
        "dice_per_class": counts.each(counts.f1),
        "iou": counts.mean(counts.iou),
        "iou_per_class": counts.each(counts.iou),
    }


def tell_foreground(counts: Counts) -> dict[str, Tensor]:
    foreground = counts.foreground()
    dice, iou = foreground.mean(foreground.f1), foreground.mean(foreground.iou)
    accuracy = counts.agreement()["accuracy"]
    return {"dice": dice, "dice_foreground": dice, "iou": iou, "iou_foreground": iou, "pixel_accuracy": accuracy}
