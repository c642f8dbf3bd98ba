"""How the classifiers are compared: an epoch for each, in which a whole table is one batch."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from labwright import BareExperiment
from labwright.datasets import Dataset, Splits, fingerprint, hold_out, split_indices
from labwright.runs import RunDirectory
from labwright.runs.plots import plot_bars
from labwright.session import Predictions

from ..class_predictions import class_predictions
from .args import ClassifierName, SklearnBaselinesArgs, TableName

_LOADERS: dict[TableName, Callable[..., Any]] = {
    "digits": load_digits,
    "wine": load_wine,
    "breast_cancer": load_breast_cancer,
    "iris": load_iris,
}
_DEBUG_ROWS = 60


@dataclass(frozen=True)
class Table:
    """Rows of numbers, and the class of each; `name` says of what, whichever part of it these are."""

    name: str
    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input": self.inputs[index], "target": self.targets[index]}

    def take(self, rows: np.ndarray) -> "Table":
        """These rows alone."""
        return replace(self, inputs=self.inputs[rows], targets=self.targets[rows])


def load_table(name: TableName) -> Table:
    """A dataset that ships with scikit-learn; a row that stands there twice (iris has one) is kept once."""
    inputs, targets = _LOADERS[name](return_X_y=True)
    _, first = np.unique(np.column_stack([inputs, targets]), axis=0, return_index=True)
    return Table(name, inputs, targets).take(np.sort(first))


def build_classifier(name: ClassifierName, seed: int) -> Any:
    """A classifier that has not seen any data."""
    match name:
        case "most_frequent":
            return DummyClassifier(strategy="prior")
        case "naive_bayes":
            return make_pipeline(StandardScaler(), GaussianNB(var_smoothing=0.01))
        case "nearest_neighbours":
            return make_pipeline(StandardScaler(), KNeighborsClassifier())
        case "logistic_regression":
            return make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        case "random_forest":
            return RandomForestClassifier(random_state=seed)


class SklearnBaselines(BareExperiment[SklearnBaselinesArgs]):
    """Fits one classifier an epoch on each training table, and measures it on all tables."""

    classifier: ClassifierName
    """The one in hand."""
    fitted: dict[str, Any]
    """It, fitted on each table, by the table's name."""

    def build_datasets(self) -> Splits:
        args = self.args
        tables = [load_table(name) for name in args.tables]
        if self.options.debug:
            tables = [table.take(split_indices(table.targets, [_DEBUG_ROWS / len(table)], 0)[1]) for table in tables]
        parts: dict[str, dict[str, Dataset]] = {"train": {}, "val": {}, "test": {}}
        for table in tables:
            rows = hold_out(
                table.targets, val_fraction=args.val_fraction, test_fraction=args.test_fraction, seed=args.split_seed
            )
            for part, chosen in zip(parts, rows, strict=True):
                if len(chosen):
                    parts[part][f"{part}_{table.name}"] = table.take(chosen)
        content = [array for table in tables for array in (table.inputs, table.targets)]
        train, val, test = parts.values()
        return Splits(train=train, val=val, test=test, name=", ".join(args.tables), fingerprint=fingerprint(*content))

    def build_parts(self) -> None:
        super().build_parts()
        self.fitted = {}

    def build_loader(self, dataset: Dataset, name: str, *, training: bool) -> list[Dataset]:
        return [dataset]

    def metric_directions(self) -> dict[str, bool]:
        return {"loss": False, "accuracy": True}

    # -- the rungs of the loop

    def on_epoch_start(self) -> None:
        self.classifier = self.args.classifiers[self.epoch - 1]
        self.recorder.terminal.line(f"{self.classifier}:")

    def run_batch(self) -> None:
        """Fit the classifier where this is a training table; measure it on any."""
        table: Table = self.batch
        if self.is_training:
            started = time.perf_counter()
            self.fit(table)
            self.position.step += 1
            self.position.num_samples += len(table)
            self.position.train_seconds += time.perf_counter() - started
        probability = self.fitted[table.name].predict_proba(table.inputs)
        self.batch_weight = len(table)
        self.batch_metrics = {
            "loss": log_loss(table.targets, probability, labels=range(probability.shape[1])),
            "accuracy": np.mean(probability.argmax(axis=1) == table.targets),
        }

    def fit(self, table: Table) -> None:
        """Fit a fresh one of `self.classifier` on a table; the seed alone decides what is random in it."""
        self.fitted[table.name] = build_classifier(self.classifier, self.args.seed).fit(table.inputs, table.targets)

    def on_epoch_end(self) -> None:
        metrics = {name: values for name, values in self.epoch_metrics.items() if name in self.splits.val}
        self.append("classifiers", {"epoch": self.epoch, "classifier": self.classifier, **metrics})

    def on_test_end(self) -> None:
        self.store("best_classifier", self.classifier)

    # -- state: the name is enough, since a fit can be repeated

    def state_dict(self) -> dict[str, Any]:
        return {"classifier": self.classifier}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.classifier = state["classifier"]
        for name in self.splits.train:
            self.fit(self.loaders[name][0])

    # -- results

    def predict(self, name: str) -> Predictions:
        table: Table = self.loaders[name][0]
        probability = self.fitted[table.name].predict_proba(table.inputs)
        return class_predictions(table, table.targets, probability)

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """classifiers.png: the validation accuracy of each classifier on each table."""
        accuracies = {
            name.removeprefix("val_"): {
                self.args.classifiers[epoch - 1]: results[name]["accuracy"]
                for epoch, results in self.experiment_metrics.items()
            }
            for name in self.splits.val
        }
        path = run.path / "classifiers.png"
        title = f"{self.args.experiment_id}: {self.splits.name}"
        plot_bars(accuracies, path, title, value_label="validation accuracy", subtitle=f"tested: {self.classifier}")
        return [path]
