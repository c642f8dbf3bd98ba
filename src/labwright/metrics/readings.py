"""Predictions and targets of a step as metrics want them: labels, probabilities, scores that rank, numbers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from labwright.args import UserError

from .base import at_least_single, widest_float
from .groups import Settings
from .stock import aligned, positive_logits, require_same_shape

IGNORED = -100
"""The target that cross-entropy leaves out by default."""
_CLASS_KEYS = ("probability", "logits")
_PREDS_KEYS = {
    "binary_classification": _CLASS_KEYS,
    "multiclass_classification": _CLASS_KEYS,
    "multilabel_classification": _CLASS_KEYS,
    "regression": ("prediction", "reconstruction"),
    "segmentation": _CLASS_KEYS,
    "image_reconstruction": ("reconstruction", "prediction"),
}


def find_preds(
    group: str, key: str | None, outputs: Mapping[str, Any], batch: Mapping[str, Any]
) -> tuple[Tensor, bool]:
    """The predictions of a batch, and whether they are probabilities."""
    keys = _PREDS_KEYS[group] if key is None else (key,)
    found, preds = _find(group, "preds", keys, outputs, batch)
    return preds, found.endswith("probability")


def find_target(
    group: str, key: str | None, outputs: Mapping[str, Any], batch: Mapping[str, Any], preds: Tensor
) -> Tensor:
    """The targets of a batch, on the device of the predictions."""
    keys = ("target",) if key is None else (key,)
    target = torch.as_tensor(_find(group, "target", keys, outputs, batch)[1], device=preds.device)
    if preds.shape[:1] != target.shape[:1] or not preds.ndim:
        raise _misfit(group, preds, target)
    return target


def _find(
    group: str, argument: str, keys: Sequence[str], outputs: Mapping[str, Any], batch: Mapping[str, Any]
) -> tuple[str, Any]:
    for place in (outputs, batch):
        for key in keys:
            if key in place:
                return key, place[key]
    raise UserError(
        f"--metrics: {group} reads {' or '.join(keys)} as its {argument}, but the step's outputs are "
        f"{', '.join(outputs) or 'none'} and the batch has {', '.join(batch) or 'nothing'}; name one of these: "
        f"""--metric_inputs='{{"{group}.{argument}": "KEY"}}'"""
    )


@dataclass
class ClassReading:
    """Samples, or pixels, judged as classes."""

    group: str
    preds: Tensor
    """[n, classes], or [n] for one class against the other: logits, or probabilities; or labels in whole numbers."""
    target: Tensor
    """Whole numbers as the labels: [n], and [n, labels] where each label is a class of its own."""
    is_probability: bool
    threshold: float | None
    """What makes a class positive by itself; None: the classes compete."""

    @cached_property
    def labels(self) -> Tensor:
        if not self.preds.is_floating_point():
            return self.preds
        return self.preds.argmax(-1) if self.threshold is None else (self.probability > self.threshold).long()

    @cached_property
    def probability(self) -> Tensor:
        preds = self.floating_preds
        if self.is_probability:
            return preds
        return preds.softmax(-1) if self.threshold is None else preds.sigmoid()

    @cached_property
    def scores(self) -> Tensor:
        """[n, classes] numbers that rank samples as the probabilities do, before rounding makes these 1."""
        preds = self.floating_preds
        if self.threshold is None and not self.is_probability:
            preds = _in_order_of_softmax(preds)
        return preds.reshape(len(preds), -1)

    @property
    def floating_preds(self) -> Tensor:
        """The predictions in single precision or double; a UserError if they are labels."""
        if not self.preds.is_floating_point():
            raise UserError(f"--metrics: {self.group}: auc, ece and top5 need probabilities or logits, not labels")
        return at_least_single(self.preds)


@dataclass
class NumberReading:
    """Numbers in double precision, where the device has it; in columns for regression."""

    preds: Tensor
    target: Tensor


def _read_binary(group: str, preds: Tensor, target: Tensor, is_probability: bool, settings: Settings) -> ClassReading:
    preds = _positive_column(group, preds, is_probability)
    target = target.squeeze(1) if target.ndim == 2 else target
    return _class_reading(group, preds, target, is_probability, 2, settings.threshold)


def _read_multiclass(
    group: str, preds: Tensor, target: Tensor, is_probability: bool, settings: Settings
) -> ClassReading:
    if preds.is_floating_point():
        _require_classes(group, preds, target, -1, settings.num_outputs)
        preds = preds.flatten(0, -2)
    else:
        preds = preds.flatten()
    return _class_reading(group, preds, target.flatten(), is_probability, settings.num_outputs, None)


def _read_multilabel(
    group: str, preds: Tensor, target: Tensor, is_probability: bool, settings: Settings
) -> ClassReading:
    if preds.shape != target.shape or preds.ndim != 2 or preds.shape[1] != settings.num_outputs:
        raise _misfit(group, preds, target, f"both [n, {settings.num_outputs}]")
    preds = _valid(group, preds, is_probability, 2)
    return ClassReading(group, preds, _whole(group, target, 2), is_probability, settings.threshold)


def _read_segmentation(
    group: str, preds: Tensor, target: Tensor, is_probability: bool, settings: Settings
) -> ClassReading:
    if min(preds.ndim, target.ndim) < 2:
        raise _misfit(group, preds, target, "[n, height, width] or more")
    if settings.num_outputs == 1 or not preds.is_floating_point():
        preds, target = preds.squeeze(1), target.squeeze(1)
        require_same_shape(group, preds, target)
        threshold = settings.threshold if settings.num_outputs == 1 else None
        num_classes = max(settings.num_outputs, 2)
        return _class_reading(group, preds.flatten(), target.flatten(), is_probability, num_classes, threshold)
    target = target.squeeze(1) if target.ndim == preds.ndim else target
    _require_classes(group, preds, target, 1, settings.num_outputs)
    preds = preds.movedim(1, -1).flatten(0, -2)
    return _class_reading(group, preds, target.flatten(), is_probability, settings.num_outputs, None)


def _read_numbers(group: str, preds: Tensor, target: Tensor, is_probability: bool, settings: Settings) -> NumberReading:
    wide = widest_float(preds.device)
    return NumberReading(preds.to(wide), aligned(group, preds, target).to(wide))


def _read_columns(group: str, preds: Tensor, target: Tensor, is_probability: bool, settings: Settings) -> NumberReading:
    reading = _read_numbers(group, preds, target, is_probability, settings)
    return NumberReading(reading.preds.reshape(len(preds), -1), reading.target.reshape(len(preds), -1))


READ: Mapping[str, Callable[[str, Tensor, Tensor, bool, Settings], ClassReading | NumberReading]] = {
    "binary_classification": _read_binary,
    "multiclass_classification": _read_multiclass,
    "multilabel_classification": _read_multilabel,
    "regression": _read_columns,
    "segmentation": _read_segmentation,
    "image_reconstruction": _read_numbers,
}


def _class_reading(
    group: str, preds: Tensor, target: Tensor, is_probability: bool, num_classes: int, threshold: float | None
) -> ClassReading:
    """Of samples with one class each, but for those to ignore."""
    require_same_shape(group, preds if threshold is not None or preds.ndim == 1 else preds[:, 0], target)
    if (ignored := target == IGNORED).any():
        preds, target = preds[~ignored], target[~ignored]
    preds = _valid(group, preds, is_probability, num_classes)
    return ClassReading(group, preds, _whole(group, target, num_classes), is_probability, threshold)


def _positive_column(group: str, preds: Tensor, is_probability: bool) -> Tensor:
    """[n]"""
    if preds.ndim == 1:
        return preds
    if preds.ndim != 2 or preds.shape[1] > 2:
        raise UserError(f"--metrics: {group} reads [n], [n, 1] or [n, 2], but predictions are {list(preds.shape)}")
    if preds.shape[1] == 1 or is_probability:
        return preds[:, -1]
    return positive_logits(preds)


def _in_order_of_softmax(logits: Tensor) -> Tensor:
    """In the order of the softmax p: its log, and log(p / (1 - p)) where p is above 1/2 and might be rounded to 1."""
    winner = logits.argmax(-1, keepdim=True)
    log_rest = logits.scatter(-1, winner, -torch.inf).logsumexp(-1, keepdim=True)
    log_p = logits.log_softmax(-1)
    odds = logits.gather(-1, winner) - log_rest
    return log_p.scatter(-1, winner, odds.where(odds > 0, log_p.gather(-1, winner)))


def _valid(group: str, preds: Tensor, is_probability: bool, num_classes: int) -> Tensor:
    """The predictions, if they are what they are taken for."""
    if not preds.is_floating_point():
        return _whole(group, preds, num_classes)
    if is_probability and len(wrong := preds[(preds < -0.001) | (preds > 1.001)]):  # half precision rounds
        raise UserError(f"--metrics: {group}: {wrong[0].item():g} is no probability; name logits something else")
    return preds


def _whole(group: str, values: Tensor, num_classes: int) -> Tensor:
    """int64 from 0 to the number of classes."""
    wrong = values[(values != values.long()) | (values < 0) | (values >= num_classes)]
    if len(wrong):
        raise UserError(f"--metrics: {group} counts classes from 0 to {num_classes - 1}; there is {wrong[0].item():g}")
    return values.long()


def _require_classes(group: str, preds: Tensor, target: Tensor, dimension: int, num_classes: int) -> None:
    if preds.ndim < 2 or preds.shape[dimension] != num_classes or preds.select(dimension, 0).shape != target.shape:
        place = "[samples, classes]" if dimension == -1 else "[samples, classes, height, width]"
        raise _misfit(group, preds, target, f"{place} with {num_classes} classes")


def _misfit(group: str, preds: Tensor, target: Tensor, wanted: str = "one for each sample") -> UserError:
    shapes = f"predictions are {list(preds.shape)}, targets {list(target.shape)}"
    return UserError(f"--metrics: {group}: {shapes}; wanted: {wanted}")
