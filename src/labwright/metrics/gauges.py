"""The gauges of each group of metrics; on torchmetrics, which is slow to import."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torchmetrics
from torch import Tensor
from torchmetrics.classification import (
    BinaryCalibrationError,
    MulticlassStatScores,
    MultilabelExactMatch,
    MultilabelStatScores,
)

from .base import widest_float
from .counts import CountsGauge, tell_binary, tell_foreground, tell_multiclass, tell_multilabel, tell_segmentation
from .feed import Gauge, GaugeMaker
from .groups import Settings
from .moments import Moments
from .ranking import RankCorrelation, Ranking, TopFive
from .readings import ClassReading
from .reconstruction import PixelErrors, Similarity
from .state import Stateful

# Inputs were checked, and a run's processes each judge what they were given.
_PLAIN: dict[str, Any] = {"validate_args": False, "sync_on_compute": False}


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


def _of_binary(names: Sequence[str], settings: Settings) -> list[Gauge]:
    counts = MulticlassStatScores(2, average=None, **_PLAIN)
    return [CountsGauge(counts, tell_binary), *_of_scores(names)]


def _of_multiclass(names: Sequence[str], settings: Settings) -> list[Gauge]:
    num_classes = settings.num_outputs
    counts = MulticlassStatScores(num_classes, average=None, **_PLAIN)
    gauges: list[Gauge] = [CountsGauge(counts, tell_multiclass), *_of_scores(names)]
    if "top5_accuracy" in names:
        gauges.append(TopFive())
    return gauges


def _of_multilabel(names: Sequence[str], settings: Settings) -> list[Gauge]:
    num_labels = settings.num_outputs
    counts = MultilabelStatScores(num_labels, average=None, **_PLAIN)
    gauges: list[Gauge] = [CountsGauge(counts, tell_multilabel), *_of_scores(names)]
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
    return [CountsGauge(counts, tell_foreground if settings.num_outputs == 1 else tell_segmentation)]


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
