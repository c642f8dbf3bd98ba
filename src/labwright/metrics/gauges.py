"""States over a whole split, and the metrics they tell; on torchmetrics, which is slow to import."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torchmetrics
from torch import Tensor
from torchmetrics.classification import (
    BinaryCalibrationError,
    MulticlassStatScores,
    MultilabelExactMatch,
    MultilabelStatScores,
)
from torchmetrics.functional.image import structural_similarity_index_measure

from labwright.args import UserError

from .base import widest_float
from .feed import Gauge, GaugeMaker
from .groups import Settings
from .ranking import RankCorrelation, Ranking, TopFive
from .readings import ClassReading, NumberReading
from .state import Stateful

# Inputs were checked, and a run's processes each judge what they were given.
_PLAIN: dict[str, Any] = {"validate_args": False, "sync_on_compute": False}
_SMALLEST_IMAGE = 6
"""The window of ssim reaches 5 pixels beyond the edge, where the image is mirrored."""


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


def _tell_binary(counts: Counts) -> dict[str, Tensor]:
    return counts.agreement() | {
        "precision": counts.precision[1],
        "recall": counts.recall[1],
        "specificity": counts.recall[0],
        "f1": counts.f1[1],
        "f1_micro": counts.together().f1,
        "f1_macro": counts.mean(counts.f1),
    }


def _tell_multiclass(counts: Counts) -> dict[str, Tensor]:
    return (
        _tell_micro_and_per_class(counts)
        | counts.agreement()
        | {
            "precision_macro": counts.mean(counts.precision),
            "recall_macro": counts.mean(counts.recall),
            "f1_macro": counts.mean(counts.f1),
        }
    )


def _tell_multilabel(counts: Counts) -> dict[str, Tensor]:
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


def _tell_segmentation(counts: Counts) -> dict[str, Tensor]:
    """Dice of a class is the F1 of its pixels."""
    return _tell_foreground(counts) | {
        "dice": counts.mean(counts.f1),
        "dice_per_class": counts.each(counts.f1),
        "iou": counts.mean(counts.iou),
        "iou_per_class": counts.each(counts.iou),
    }


def _tell_foreground(counts: Counts) -> dict[str, Tensor]:
    foreground = counts.foreground()
    dice, iou = foreground.mean(foreground.f1), foreground.mean(foreground.iou)
    accuracy = counts.agreement()["accuracy"]
    return {"dice": dice, "dice_foreground": dice, "iou": iou, "iou_foreground": iou, "pixel_accuracy": accuracy}


class OneNumber(Stateful):
    """A torchmetrics metric as it is, of the scores or the labels of a reading."""

    def __init__(self, name: str, metric: torchmetrics.Metric, reads: Callable[[ClassReading], Tensor]) -> None:
        self._name, self._metric, self._reads = name, metric, reads

    def update(self, reading: ClassReading) -> None:
        self._metric.to(reading.target.device).update(self._reads(reading), reading.target)

    def compute(self) -> Mapping[str, Tensor]:
        return {self._name: self._metric.compute()}


class Calibration(Stateful):
    """How far confidence is from accuracy, or the probability of the positive class from its frequency.

    torchmetrics' metric for two classes serves many: the one for these adds up in single precision.
    """

    def __init__(self) -> None:
        self._error = BinaryCalibrationError(n_bins=15, norm="l1", **_PLAIN)

    def update(self, reading: ClassReading) -> None:
        probability, happened = reading.probability, reading.target
        if probability.ndim == 2:
            probability = probability.gather(1, reading.labels[:, None]).squeeze(1)
            happened = (reading.labels == reading.target).long()
        self._error.to(probability.device).update(
            probability.to(widest_float(probability.device)).clamp(0, 1), happened
        )

    def compute(self) -> Mapping[str, Tensor]:
        return {"ece": self._error.compute()}


class Moments(Stateful):
    """Errors and correlation of numbers, by columns.

    Not torchmetrics' R2Score: it calls targets constant whose squares sum up to less than 1e-4.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def update(self, reading: NumberReading) -> None:
        x, y = reading.preds, reading.target
        mean_x, mean_y, error = x.mean(0), y.mean(0), x - y
        far_x, far_y = x - mean_x, y - mean_y
        sums = (far_x.square().sum(0), far_y.square().sum(0), (far_x * far_y).sum(0))
        errors = (error.square().sum(0), error.abs().sum(0))
        row = torch.stack([torch.full_like(mean_x, len(x)), mean_x, mean_y, *sums, *errors])
        if self._rows and row.shape != self._rows[0].shape:
            columns = f"{self._rows[0].shape[1]} and {row.shape[1]}"
            raise UserError(f"--metrics: regression needs the same columns in every batch, not {columns}")
        self._rows.append(row)

    def compute(self) -> Mapping[str, Tensor]:
        n, mean_x, mean_y, xx, yy, xy, squared, absolute = torch.stack(self._rows, dim=1).cpu()
        total = n.sum(0)
        far_x, far_y = mean_x - (n * mean_x).sum(0) / total, mean_y - (n * mean_y).sum(0) / total
        # The spread within the chunks and that between them (Chan, Golub and LeVeque, 1979).
        xx = _unless_rounding((xx + n * far_x.square()).sum(0), n, mean_x)
        yy = _unless_rounding((yy + n * far_y.square()).sum(0), n, mean_y)
        xy = (xy + n * far_x * far_y).sum(0)
        mse = (squared.sum(0) / total).mean()
        return {
            "mse": mse,
            "rmse": mse.sqrt(),
            "mae": (absolute.sum(0) / total).mean(),
            "r2": (1 - squared.sum(0) / yy).mean(),
            "pearson": (xy / (xx * yy).sqrt()).clamp(-1, 1).mean(),
        }


def _unless_rounding(spread: Tensor, n: Tensor, mean: Tensor) -> Tensor:
    """NaN for a sum of squared deviations that is no more than the rounding of a constant."""
    return spread.where(spread > (n * (1e-12 * mean).square()).sum(0), math.nan)


class DataRange(Stateful):
    """The range of an image's values: as given, or largest less smallest target of the split."""

    def __init__(self, given: float | None) -> None:
        self._given = given
        self._limits: list[Tensor] = []

    def update(self, target: Tensor) -> None:
        self._limits.append(torch.stack(target.aminmax()))

    def value(self) -> float:
        if self._given is not None:
            return self._given
        smallest, largest = torch.stack(self._limits).unbind(1)
        return (largest.max() - smallest.min()).item()


class PixelErrors(Stateful):
    """Squared errors over all pixels of the split."""

    def __init__(self, data_range: float | None) -> None:
        self._range = DataRange(data_range)
        self._sums: list[Tensor] = []
        self._num_pixels = 0

    def update(self, reading: NumberReading) -> None:
        self._range.update(reading.target)
        errors = (reading.preds - reading.target).square()
        self._sums.append(torch.stack([errors.sum(), reading.target.square().sum()]))
        self._num_pixels += errors.numel()

    def compute(self) -> Mapping[str, Tensor]:
        squared_error, squared_target = torch.stack(self._sums).sum(0).cpu()
        return {
            "nmse": squared_error / squared_target,
            "psnr": 10 * (self._range.value() ** 2 * self._num_pixels / squared_error).log10(),
        }


class Similarity(Stateful):
    """SSIM of each image; where the range is not given, the images wait in main memory until it is known."""

    def __init__(self, data_range: float | None) -> None:
        self._range = DataRange(data_range)
        self._is_range_known = data_range is not None
        self._device = torch.device("cpu")
        self._of_images: list[Tensor] = []
        self._waiting: list[Tensor] = []

    def update(self, reading: NumberReading) -> None:
        self._device = reading.preds.device
        preds, target = _images(reading.preds), _images(reading.target)
        if self._is_range_known:
            self._of_images.append(self._similarity(preds, target))
            return
        self._range.update(target)
        self._waiting.append(torch.stack([preds, target]).to("cpu", torch.float32))

    def compute(self) -> Mapping[str, Tensor]:
        wide = widest_float(self._device)
        waiting = [self._similarity(*pair.to(self._device, wide)) for pair in self._waiting]
        return {"ssim": torch.cat([*self._of_images, *waiting]).mean()}

    def _similarity(self, preds: Tensor, target: Tensor) -> Tensor:
        """[n], from double precision: TF32, a GPU's way with single precision, would spoil the variances."""
        data_range = self._range.value()
        similarity = structural_similarity_index_measure(preds, target, data_range=data_range, reduction="none")
        assert isinstance(similarity, Tensor)  # only with options not given here does an image come along
        return similarity


def _images(pixels: Tensor) -> Tensor:
    """[n, channels, height, width]"""
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or min(pixels.shape[2:]) < _SMALLEST_IMAGE:
        shape = f"{_SMALLEST_IMAGE}x{_SMALLEST_IMAGE} pixels or more, [n, channels, height, width]"
        raise UserError(f"--metrics: ssim is for images of {shape}; these are {list(pixels.shape)}")
    return pixels


def _of_binary(names: Sequence[str], settings: Settings) -> list[Gauge]:
    counts = MulticlassStatScores(2, average=None, **_PLAIN)
    return [CountsGauge(counts, _tell_binary), *_of_scores(names)]


def _of_multiclass(names: Sequence[str], settings: Settings) -> list[Gauge]:
    num_classes = settings.num_outputs
    counts = MulticlassStatScores(num_classes, average=None, **_PLAIN)
    gauges: list[Gauge] = [CountsGauge(counts, _tell_multiclass), *_of_scores(names)]
    if "top5_accuracy" in names:
        gauges.append(TopFive())
    return gauges


def _of_multilabel(names: Sequence[str], settings: Settings) -> list[Gauge]:
    num_labels = settings.num_outputs
    counts = MultilabelStatScores(num_labels, average=None, **_PLAIN)
    gauges: list[Gauge] = [CountsGauge(counts, _tell_multilabel), *_of_scores(names)]
    if "exact_match" in names:
        exact_match = MultilabelExactMatch(num_labels, **_PLAIN)
        gauges.append(OneNumber("exact_match", exact_match, lambda reading: reading.labels))
    return gauges


def _of_scores(names: Sequence[str]) -> list[Gauge]:
    curves = [name for name in ("roc_auc", "pr_auc") if name in names]
    gauges: list[Gauge] = [Ranking(curves)] if curves else []
    return [*gauges, Calibration()] if "ece" in names else gauges


def _of_numbers(names: Sequence[str], settings: Settings) -> list[Gauge]:
    return [Moments(), RankCorrelation()] if "spearman" in names else [Moments()]


def _of_pixels(names: Sequence[str], settings: Settings) -> list[Gauge]:
    counts = MulticlassStatScores(max(settings.num_outputs, 2), average=None, **_PLAIN)
    return [CountsGauge(counts, _tell_foreground if settings.num_outputs == 1 else _tell_segmentation)]


def _of_images(names: Sequence[str], settings: Settings) -> list[Gauge]:
    errors = PixelErrors(settings.data_range)
    return [errors, Similarity(settings.data_range)] if "ssim" in names else [errors]


GAUGES: Mapping[str, GaugeMaker] = {
    "binary_classification": _of_binary,
    "multiclass_classification": _of_multiclass,
    "multilabel_classification": _of_multilabel,
    "regression": _of_numbers,
    "segmentation": _of_pixels,
    "image_reconstruction": _of_images,
}
