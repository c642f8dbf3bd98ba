"""Decoded predictions of a split: collected, written as CSV, drawn."""

import csv
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from labwright.args import ExperimentArgs
from labwright.datasets import Dataset, Splits
from labwright.runs import RunDirectory, write_durably

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from labwright.experiment import Experiment
    from labwright.train import Batch


@dataclass
class Predictions:
    """Columns of equal length, a row a sample: `index`, `target`, `prediction`, and `confidence` for classes."""

    dataset: Dataset
    columns: "dict[str, NDArray[Any]]" = field(default_factory=dict[str, Any])

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def to_csv(self, class_names: tuple[str, ...] = ()) -> str:
        """The rows as CSV; classes also by name where they have one."""
        columns: dict[str, list[Any]] = {}
        for name, values in self.columns.items():
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


def predict(experiment: "Experiment[ExperimentArgs]", dataset: Dataset, batches: "Iterable[Batch]") -> Predictions:
    """What the model predicts for each sample, in the order of the dataset."""
    import torch

    found: dict[str, list[NDArray[Any]]] = {}
    experiment.model.eval()
    with torch.inference_mode():
        for batch in batches:
            batch = experiment.prepare_batch(batch, training=False)
            predicted = experiment.predict_batch(batch)
            if not predicted:
                break
            given = {name: batch[name] for name in ("index", "target") if name in batch}
            for name, values in {**given, **predicted}.items():
                found.setdefault(name, []).append(values.cpu().numpy())
    return Predictions(dataset, {name: np.concatenate(parts) for name, parts in found.items()})


def write_predictions(run: RunDirectory, predictions: dict[str, Predictions], class_names: tuple[str, ...]) -> None:
    """predictions/<split>.csv for each split that has any."""
    for split, found in predictions.items():
        if len(found):
            folder = run.path / "predictions"
            folder.mkdir(exist_ok=True)
            write_durably(folder / f"{split}.csv", found.to_csv(class_names).encode())


def plot_predictions(run: RunDirectory, splits: Splits, predictions: dict[str, Predictions]) -> "list[Path]":
    """The first test set's predictions: mistakes and confusion of a classifier, or prediction against target."""
    from labwright.runs.plots import plot_confusion, plot_regression

    split, found = next(((name, found) for name, found in predictions.items() if len(found)), ("", None))
    if found is None:
        return []
    title = f"{splits.name}: {split}"
    if splits.task == "regression":
        path = run.path / "predictions.png"
        plot_regression(found.columns["target"], found.columns["prediction"], path, title)
        return [path]
    names = splits.class_names or tuple(str(label) for label in range(splits.num_outputs))
    drawn = [_plot_mistakes(run, splits, names, found, title)] if splits.is_image else []
    path = run.path / "confusion.png"
    counts = np.zeros((splits.num_outputs, splits.num_outputs), dtype=np.int64)
    np.add.at(counts, (found.columns["target"], found.columns["prediction"]), 1)
    plot_confusion(counts, names, path, title)
    return [*drawn, path]


def _plot_mistakes(run: RunDirectory, splits: Splits, names: tuple[str, ...], found: Predictions, title: str) -> "Path":
    from labwright.datasets import get_sample
    from labwright.runs.plots import choose_mistakes, plot_mistakes

    path = run.path / "predictions.png"
    target, prediction, confidence = (found.columns[name] for name in ("target", "prediction", "confidence"))
    num_wrong = int((target != prediction).sum())
    chosen = choose_mistakes(target, prediction, confidence)  # so that these images alone are fetched
    images = np.stack([get_sample(found.dataset, int(found.columns["index"][row]))["input"].numpy() for row in chosen])
    plot_mistakes(
        images, target[chosen], prediction[chosen], confidence[chosen], names, path, title, len(found), num_wrong
    )
    return path
