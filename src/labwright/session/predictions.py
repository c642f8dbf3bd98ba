"""Decoded predictions of a split: collected, written as CSV, drawn."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labwright.args import ExperimentArgs, UserError
from labwright.datasets import Dataset, Splits
from labwright.runs import RunDirectory, write_durably

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment
    from labwright.train import Batch

_ORIGIN = ("source", "source_index")


@dataclass
class Predictions:
    """Columns of equal length, a row a sample.

    `index`, `target`, `prediction`, for classes `confidence` and `probability` [samples, classes]; `name` of a file;
    `source` and `source_index` where several datasets were joined.
    """

    dataset: Dataset
    columns: "dict[str, NDArray[Any]]" = field(default_factory=dict[str, Any])

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def to_csv(self, class_names: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> str:
        """The rows as CSV, but for the columns `left_out` and for images; classes also by name where they have one."""
        columns: dict[str, list[Any]] = {}
        for name, values in self.columns.items():
            if name in left_out or values.ndim > 2:
                continue
            rows = values.reshape(len(values), -1)
            for number in range(rows.shape[1]):
                columns[name if rows.shape[1] == 1 else f"{name}_{number}"] = rows[:, number].tolist()
        if any(name != str(label) for label, name in enumerate(class_names)):
            for name in [name for name in ("target", "prediction") if name in columns]:
                columns[f"{name}_name"] = [class_names[int(label)] for label in columns[name]]
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
        return text.getvalue()


def predict(experiment: "Experiment[ExperimentArgs]", name: str) -> Predictions | None:
    """What the model predicts for each sample of a dataset, in its order; None where it predicts nothing."""
    import torch

    splits = experiment.splits
    dataset = {**splits.train, **splits.val, **splits.test}[name]
    loader = experiment.build_loader(dataset, name, training=False)
    found: dict[str, list[Any]] = {}
    sources: set[str] = set()
    experiment.model.eval()
    with torch.inference_mode():
        for batch in experiment.recorder.watch(loader, loader.num_batches, f"predict {name}"):
            batch = experiment.prepare_batch(batch, training=False)
            predicted = experiment.predict_batch(batch)
            if not predicted:
                return None
            given = {key: batch[key] for key in _given(batch)}
            sources.update(given.get("source", ()))
            for key, values in {**given, **predicted}.items():
                found.setdefault(key, []).append(_array(values) if isinstance(values, torch.Tensor) else list(values))
    left_out = _ORIGIN if len(sources) == 1 else ()  # it would say the same in every row
    columns = {key: np.concatenate(parts) for key, parts in found.items() if key not in left_out}
    return Predictions(dataset, columns)


def _given(batch: "Batch") -> list[str]:
    """The keys that say which sample it is, and its target."""
    origin = _ORIGIN if isinstance(batch.get("source"), list) else ()  # in other data a "source" may be an image
    return [key for key in ("index", *origin, "name", "target") if key in batch]


def _array(values: "Tensor") -> "NDArray[Any]":
    if values.is_floating_point() and values.itemsize < 4:
        values = values.float()  # NumPy has no bfloat16
    return values.cpu().numpy()


def decode(outputs: "Mapping[str, Tensor]", threshold: float | None) -> "dict[str, Tensor]":
    """Predictions from a loss's outputs: `prediction`, and of `logits` `confidence` and `probability` too.

    Logits are [samples, classes], or [samples] and [samples, 1] for a yes or no. `threshold` decides where there are
    two classes; None means one half.
    """
    from labwright.metrics import positive_probability

    if "logits" not in outputs:
        return {"prediction": outputs["prediction"].float()} if "prediction" in outputs else {}
    logits = outputs["logits"].float()
    if logits.ndim == 1 or logits.shape[-1] <= 2:
        no, yes = positive_probability(-logits), positive_probability(logits)
        probability = no.new_empty(*no.shape, 2)
        probability[..., 0], probability[..., 1] = no, yes
    else:
        probability = logits.softmax(dim=-1)
    confidence, prediction = probability.max(dim=-1)
    if threshold is not None and probability.shape[-1] == 2:
        prediction = (probability[..., 1] > threshold).long()
        confidence = probability.gather(-1, prediction.unsqueeze(-1)).squeeze(-1)
    return {"prediction": prediction, "confidence": confidence, "probability": probability}


def choose_threshold(experiment: "Experiment[ExperimentArgs]", metric: str) -> float | None:
    """The threshold of a binary classifier that is best by `metric` on all deciding validation sets together.

    None, with a warning, where validation has one class only.
    """
    from labwright import metrics

    sets = experiment.splits.deciding_val
    if not sets:
        raise UserError("--threshold_metric chooses on validation, but no validation set decides; leave it out")
    scores, targets = zip(*(_binary_scores(experiment, name) for name in sets), strict=True)
    try:
        return metrics.choose_threshold(np.concatenate(scores), np.concatenate(targets), metric)
    except UserError as error:
        warning = f"no threshold was chosen: {error}"
        experiment.warnings.append(warning)
        experiment.recorder.terminal.warn(warning)
        return None


def _binary_scores(experiment: "Experiment[ExperimentArgs]", name: str) -> "tuple[NDArray[Any], NDArray[Any]]":
    """The probability of the positive class for each sample of a dataset, and the target."""
    found = experiment.predict(name)
    columns = {} if found is None else found.columns
    if not {"probability", "target"} <= columns.keys() or columns["probability"].shape[1:] != (2,):
        has = ", ".join(f"{key} {list(values.shape)}" for key, values in columns.items()) or "nothing"
        raise UserError(
            f"--threshold_metric needs target and probability [samples, 2]; predictions of {name} have {has}"
        )
    return columns["probability"][:, 1], columns["target"].ravel()


def recorded_threshold(experiment: "Experiment[ExperimentArgs]") -> float | None:
    """The threshold that the run chose whose weights are tested or predicted with; None if there is none."""
    spec = experiment.args.from_checkpoint
    if experiment.options.stage == "train" or not isinstance(spec, str):
        return None
    run = RunDirectory(Path(spec).expanduser())
    result = run.record().get("result") if run.record_path.is_file() else None
    return (result or {}).get("threshold")


def write_predictions(
    experiment: "BareExperiment[ExperimentArgs]", predictions: dict[str, Predictions]
) -> dict[str, Path]:
    """predictions/<split>.csv for each split that has any; with the probability of every class where asked for."""
    left_out = () if experiment.options.probabilities else ("probability",)
    written: dict[str, Path] = {}
    for split, found in predictions.items():
        if len(found):
            folder = experiment.run_directory.path / "predictions"
            folder.mkdir(exist_ok=True)
            written[split] = folder / f"{split}.csv"
            write_durably(written[split], found.to_csv(experiment.splits.class_names, left_out).encode())
    return written


def plot_predictions(run: RunDirectory, splits: Splits, predictions: dict[str, Predictions]) -> list[Path]:
    """The first test set's predictions: mistakes and confusion of a classifier, or prediction against target."""
    from labwright.runs.plots import plot_confusion, plot_regression

    in_order = [name for name in (*splits.test, *splits.val, *splits.train) if name in predictions]
    split = next((name for name in in_order if "target" in predictions[name].columns), None)
    if split is None:
        return []
    found = predictions[split]
    title = f"{splits.name}: {split}"
    if splits.task not in ("classification", "regression"):
        return []
    if splits.task == "regression":
        path = run.path / "predictions.png"
        plot_regression(found.columns["target"], found.columns["prediction"], path, title)
        return [path]
    num_classes = max(2, splits.num_outputs)  # a yes or no may have a single logit
    names = splits.class_names or tuple(str(label) for label in range(num_classes))
    drawn = [_plot_mistakes(run, splits, names, found, title)] if splits.is_image else []
    path = run.path / "confusion.png"
    counts = np.zeros((num_classes, num_classes), dtype=np.int64)
    np.add.at(counts, (_labels(found, "target"), _labels(found, "prediction")), 1)
    plot_confusion(counts, names, path, title)
    return [*drawn, path]


def _labels(found: Predictions, name: str) -> "NDArray[np.int64]":
    """A column of classes as whole numbers: the target of a single logit may be a float, and [samples, 1]."""
    return found.columns[name].ravel().astype(np.int64)


def _plot_mistakes(run: RunDirectory, splits: Splits, names: tuple[str, ...], found: Predictions, title: str) -> Path:
    from labwright.datasets import get_sample
    from labwright.runs.plots import choose_mistakes, plot_mistakes

    path = run.path / "predictions.png"
    target, prediction = _labels(found, "target"), _labels(found, "prediction")
    confidence = found.columns["confidence"]
    num_wrong = int((target != prediction).sum())
    chosen = choose_mistakes(target, prediction, confidence)  # so that these images alone are fetched
    samples = [get_sample(found.dataset, int(found.columns["index"][row])) for row in chosen]
    images = np.stack([np.asarray(sample["input"]) for sample in samples])
    plot_mistakes(
        images, target[chosen], prediction[chosen], confidence[chosen], names, path, title, len(found), num_wrong
    )
    return path
