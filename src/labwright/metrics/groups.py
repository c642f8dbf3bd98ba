"""Metrics by task, chosen by name: `build_metrics({"binary_classification": ["f1", "roc_auc"]}, num_outputs=1)`.

Needs `pip install "labwright[metrics]"`, which is imported when metrics are built; `GROUPS` can be read without.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from labwright.args import UserError
from labwright.args.wording import not_one_of

if TYPE_CHECKING:
    from .base import Metric

_PER_CLASS = "_per_class"


class About(NamedTuple):
    """What a metric says."""

    higher_is_better: bool
    meaning: str


def _high(meaning: str) -> About:
    return About(True, meaning)


def _low(meaning: str) -> About:
    return About(False, meaning)


_ROC_AUC = "Area under the ROC curve, exact; NaN where only one class occurs."
_PR_AUC = "Average precision: sum of (R_k - R_k-1) P_k over all thresholds, exact; NaN without a positive."
_MCC = "Matthews' correlation coefficient; for many classes as Gorodkin (2004)."
_KAPPA = "Cohen's kappa (1960): agreement beyond that of chance."
_BALANCED = "Mean recall of the classes that occur."
_PER_LABEL = "of each label or class, as one metric each; NaN for a class neither there nor predicted."

GROUPS: Mapping[str, Mapping[str, About]] = {
    "binary_classification": {
        "accuracy": _high("Share of right labels."),
        "balanced_accuracy": _high(_BALANCED),
        "precision": _high("TP / (TP + FP); 0 if nothing is called positive."),
        "recall": _high("TP / (TP + FN); 0 without a positive."),
        "specificity": _high("TN / (TN + FP); 0 without a negative."),
        "f1": _high("2 TP / (2 TP + FP + FN) of the positive class."),
        "f1_micro": _high("F1 of TP, FP and FN summed over both classes, which is the accuracy."),
        "f1_macro": _high("Mean F1 of both classes; one neither there nor predicted is left out."),
        "roc_auc": _high(_ROC_AUC),
        "pr_auc": _high(_PR_AUC),
        "mcc": _high(_MCC),
        "cohen_kappa": _high(_KAPPA),
        "ece": _low("Calibration error: mean distance of probability and frequency in 15 bins, by samples."),
    },
    "multiclass_classification": {
        "accuracy": _high("Share of right labels."),
        "balanced_accuracy": _high(_BALANCED),
        "top5_accuracy": _high("Share of samples whose label is among the five likeliest."),
        "precision_micro": _high("Precision over all classes together, which is the accuracy."),
        "precision_macro": _high("Mean precision of the classes that occur or are predicted."),
        "precision_per_class": _high(f"Precision {_PER_LABEL}"),
        "recall_micro": _high("Recall over all classes together, which is the accuracy."),
        "recall_macro": _high("Mean recall of the classes that occur or are predicted."),
        "recall_per_class": _high(f"Recall {_PER_LABEL}"),
        "f1_micro": _high("F1 over all classes together, which is the accuracy."),
        "f1_macro": _high("Mean F1 of the classes that occur or are predicted."),
        "f1_per_class": _high(f"F1 {_PER_LABEL}"),
        "roc_auc": _high("Mean over classes of the area under the ROC curve of one against the rest."),
        "pr_auc": _high("Mean over the classes that occur of the average precision of one against the rest."),
        "mcc": _high(_MCC),
        "cohen_kappa": _high(_KAPPA),
        "ece": _low("Calibration error: mean distance of confidence and accuracy in 15 bins, by samples (Guo, 2017)."),
    },
    "multilabel_classification": {
        "exact_match": _high("Share of samples with every label right."),
        "hamming_loss": _low("Share of wrong labels."),
        "precision_micro": _high("Precision over all labels together."),
        "precision_macro": _high("Mean precision of the labels."),
        "precision_per_class": _high(f"Precision {_PER_LABEL}"),
        "recall_micro": _high("Recall over all labels together."),
        "recall_macro": _high("Mean recall of the labels."),
        "recall_per_class": _high(f"Recall {_PER_LABEL}"),
        "f1_micro": _high("F1 over all labels together."),
        "f1_macro": _high("Mean F1 of the labels."),
        "f1_per_class": _high(f"F1 {_PER_LABEL}"),
        "roc_auc": _high("Mean area under the ROC curve of the labels that are now there, now not."),
        "pr_auc": _high("Mean average precision of the labels that occur."),
    },
    "regression": {
        "mse": _low("Mean of (x - y)^2 over samples and columns."),
        "rmse": _low("Square root of the mse."),
        "mae": _low("Mean of |x - y| over samples and columns."),
        "r2": _high("1 - sum (x - y)^2 / sum (y - mean y)^2, mean over columns; NaN where targets do not vary."),
        "pearson": _high("Correlation of predictions and targets, mean over columns; NaN where one does not vary."),
        "spearman": _high("Correlation of their ranks (ties share their mean rank), mean over columns."),
    },
    "segmentation": {
        "dice": _high("Mean over classes of 2 TP / (2 TP + FP + FN), each over all pixels of the split."),
        "dice_foreground": _high("Dice without class 0."),
        "dice_per_class": _high(f"Dice {_PER_LABEL}"),
        "iou": _high("Mean over classes of TP / (TP + FP + FN), each over all pixels of the split."),
        "iou_foreground": _high("IoU without class 0."),
        "iou_per_class": _high(f"IoU {_PER_LABEL}"),
        "pixel_accuracy": _high("Share of right pixels."),
    },
    "image_reconstruction": {
        "nmse": _low("sum (x - y)^2 / sum y^2 over all pixels of the split."),
        "psnr": _high("10 log10(range^2 / mse) in dB over all pixels of the split."),
        "ssim": _high("Mean over images of the structural similarity (Wang, 2004), Gaussian window of 11 pixels."),
    },
}
"""Group -> metric -> what it says. `x` is the prediction, `y` the target.

A class that neither occurs nor is predicted anywhere in the split is left out of a mean over classes, as scikit-learn
does; labels of a multilabel task all count. Targets of -100 (cross-entropy's "ignore") are left out. With one output,
segmentation knows only the foreground, and `dice` and `iou` are `dice_foreground` and `iou_foreground`.
"""

ARGUMENTS = ("preds", "target")


class Settings(NamedTuple):
    """What the metrics of a call to `build_metrics` have in common."""

    num_outputs: int
    threshold: float
    data_range: float | None


def build_metrics(
    chosen: Mapping[str, Sequence[str]],
    *,
    num_outputs: int,
    inputs: Mapping[str, str] | None = None,
    threshold: float | None = None,
    class_names: Sequence[str] = (),
    data_range: float | None = None,
) -> "list[Metric]":
    """New metrics for one pass over a split, computed over the whole of it, whatever the batches.

    Args:
        chosen: group -> names, as in `GROUPS`. A result has the bare name (`f1_macro`), or with its group before it
            (`binary_classification_f1_macro`) where two groups give the same; `f1_per_class` gives `f1_cat`, `f1_dog`
        num_outputs: classes or labels; with two heads of different size, call this once for each.
        inputs: where a metric's arguments `preds` and `target` come from: a key of the step's outputs or else of the
            batch, as {"preds": "reconstruction", "target": "clean"}, for one group {"segmentation.preds": "mask"} or
            one metric {"segmentation.dice.preds": "mask"}. A key that ends in "probability" holds probabilities, whole
            numbers are labels, anything else is logits. Unset: `probability`, else `logits`, for classes;
            `prediction` or `reconstruction` for numbers; and `target`. Logits are [samples, classes]; of pixels
            [samples, classes, height, width]; binary ones also [samples] or [samples, 1].
        threshold: what is more probable than this is positive, where a class does not compete with others; unset: 0.5.
        data_range: what psnr and ssim call the range of an image; unset: largest less smallest target of the split, and
            ssim has to keep the images in memory until that is known.
    """
    names = {group: _checked_names(group, choice) for group, choice in chosen.items()}
    for group, group_names in names.items():
        _check_outputs(group, group_names, num_outputs)
    for key in inputs or {}:
        _check_input(key, names)
    if not names:
        return []
    try:
        from .gauges import GAUGES
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "torchmetrics":
            raise
        raise UserError('--metrics needs torchmetrics: pip install "labwright[metrics]"') from error
    from .feed import Feed, GroupMetric

    settings = Settings(num_outputs, 0.5 if threshold is None else threshold, data_range)
    labels = _class_labels(class_names, num_outputs)
    in_groups = Counter(name for group_names in names.values() for name in group_names)
    feeds: dict[tuple[str, str | None, str | None], Feed] = {}
    metrics: list[Metric] = []
    for group, group_names in names.items():
        for name in group_names:
            preds, target = (input_key(inputs or {}, group, name, argument) for argument in ARGUMENTS)
            feed = feeds.setdefault((group, preds, target), Feed(group, GAUGES[group], settings, preds, target))
            feed.names.append(name)
            prefix = f"{group}_" if in_groups[name] > 1 else ""
            higher_is_better = GROUPS[group][name].higher_is_better
            for index, result in _results(name, labels):
                metrics.append(GroupMetric(prefix + result, higher_is_better, feed, name, index))
    return metrics


def _checked_names(group: str, choice: Sequence[str]) -> list[str]:
    """The names, each once."""
    if group not in GROUPS:
        raise UserError(f"--metrics: {not_one_of(group, list(GROUPS))}")
    known = list(GROUPS[group])
    names = [choice] if isinstance(choice, str) else list(dict.fromkeys(choice))
    if not names:
        raise UserError(f"--metrics: {group} names no metric; known: {', '.join(known)}")
    for name in names:
        if name not in known:
            raise UserError(f"--metrics: {group}: {not_one_of(name, known)}")
    return names


def _check_outputs(group: str, names: Sequence[str], num_outputs: int) -> None:
    if group == "multiclass_classification" and num_outputs < 2:
        raise UserError(f"--metrics: {group} needs two classes or more, not {num_outputs}; try binary_classification")
    if "top5_accuracy" in names and num_outputs < 6:
        raise UserError(f"--metrics: top5_accuracy says something from six classes on; there are {num_outputs}")
    if group == "segmentation" and num_outputs == 1:
        for name in names:
            if name.endswith(_PER_CLASS):
                raise UserError(f"--metrics: {name} needs several classes; with one output choose dice or iou")


def _check_input(key: str, names: Mapping[str, Sequence[str]]) -> None:
    """`argument`, `group.argument` or `group.metric.argument`, of something chosen."""
    *place, argument = key.split(".")
    if argument not in ARGUMENTS:
        raise UserError(f"--metric_inputs: {key}: {not_one_of(argument, ARGUMENTS)}")
    if place and place[0] not in names:
        raise UserError(f"--metric_inputs: {key}: of --metrics, {not_one_of(place[0], list(names))}")
    if len(place) > 1 and (name := ".".join(place[1:])) not in names[place[0]]:
        raise UserError(f"--metric_inputs: {key}: of --metrics, {not_one_of(name, names[place[0]])}")


def input_key(inputs: Mapping[str, str], group: str, name: str, argument: str) -> str | None:
    """The key for a metric's argument, as the most particular entry says."""
    for entry in (f"{group}.{name}.{argument}", f"{group}.{argument}", argument):
        if entry in inputs:
            return inputs[entry]
    return None


def _results(name: str, labels: Sequence[str]) -> Iterator[tuple[int | None, str]]:
    """Index and name of each number that a metric gives."""
    if not name.endswith(_PER_CLASS):
        yield None, name
        return
    for index, label in enumerate(labels):
        yield index, f"{name.removesuffix(_PER_CLASS)}_{label}"


def _class_labels(class_names: Sequence[str], num_outputs: int) -> list[str]:
    """What a class is called in a metric's name: its own name, or its number where that would not do."""
    labels = [re.sub(r"\W+", "_", name).strip("_") for name in class_names]
    taken = {"", "micro", "macro", "per_class", "foreground"}
    if len(labels) == num_outputs == len(set(labels) - taken):
        return labels
    return [str(index) for index in range(num_outputs)]
