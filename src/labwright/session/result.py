"""`RunResult`: what a run came to, for scripts and for the summary at its end."""

import math
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING, Any, Self

from labwright.args import ExperimentArgs

if TYPE_CHECKING:
    from labwright.bare import BareExperiment


@dataclass(frozen=True)
class RunResult:
    """What a finished run came to."""

    experiment_id: str
    run_dir: Path
    dataset: str
    """The data's real name."""
    epochs: int
    """Epochs trained; fewer than asked for when training stopped early."""
    steps: int
    best_epoch: int | None
    """Epoch in which `best_metric` was best; None where nothing decides."""
    best_metric: str | None
    """Full name of the metric that decides."""
    best_value: float | None
    weights_epoch: int
    """Epoch of the weights that were tested and stored: the best, or the last where that was asked for."""
    val: dict[str, float]
    """Metrics of each validation set at `weights_epoch`; of a set not called `val` under `<set>/<metric>`."""
    test: dict[str, float]
    """Metrics of each test set; of a set not called `test` under `<set>/<metric>`."""
    seconds: float
    samples_per_second: float | None
    """Training samples per second of training."""
    stopped_early: bool
    checkpoints: dict[str, Path] = field(default_factory=dict[str, Path])
    """`last` and `best`."""
    predictions: dict[str, Path] = field(default_factory=dict[str, Path])
    """The CSV file of each set that was predicted."""
    plots: list[Path] = field(default_factory=list[Path])
    warnings: list[str] = field(default_factory=list[str])
    threshold: float | None = None
    """Of a binary classifier, chosen on validation; None: nothing was chosen."""
    debug: bool = False
    slowed_by: list[str] = field(default_factory=list[str])
    """The flags whose own work is part of the time of training: what `samples_per_second` would not have without."""

    def full_test(self) -> dict[str, float]:
        """The test metrics under their full names."""
        return {name if "/" in name else f"test/{name}": value for name, value in self.test.items()}

    def to_json(self) -> dict[str, Any]:
        """The result with paths as texts."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    @classmethod
    def from_json(cls, values: Any, run_dir: Path) -> Self:
        """What `to_json` gave, as run.json keeps it; `run_dir` is where the run is now."""

        def moved(path: str) -> Path:
            is_inside = Path(path).is_relative_to(values["run_dir"])
            return run_dir / Path(path).relative_to(values["run_dir"]) if is_inside else Path(path)

        def numbers(metrics: dict[str, float | None]) -> dict[str, float]:
            return {name: math.nan if value is None else value for name, value in metrics.items()}

        files = {
            name: {key: moved(path) for key, path in values[name].items()} for name in ("checkpoints", "predictions")
        }
        metrics = {name: numbers(values[name]) for name in ("val", "test")}
        plots = [moved(path) for path in values["plots"]]
        return cls(**values | files | metrics | {"run_dir": run_dir, "plots": plots})

    def summary(self) -> str:
        """The result as a person wants to read it, a fact a line."""
        rows = [(name.replace("/", " "), f"{value:.4f}") for name, value in self.full_test().items()]
        if self.best_metric is not None and self.best_value is not None:
            best = f"{self.best_epoch} of {self.epochs} ({self.best_metric} {self.best_value:.4f})"
            rows.append(("best epoch", best))
        if self.best_epoch not in (None, self.weights_epoch):
            rows.append(("tested weights", f"epoch {self.weights_epoch}, the last"))
        own_work = f", the work of {' and '.join(self.slowed_by)} included" if self.slowed_by else ""
        speed = f" (training at {self.samples_per_second:,.0f} samples/s{own_work})" if self.samples_per_second else ""
        if self.threshold is not None:
            rows.append(("threshold", f"{self.threshold:.4g}, chosen on validation"))
        rows.append(("time", f"{self.seconds:.1f} s{speed}"))
        rows.append(("run directory", str(self.run_dir)))
        rows += [("predictions", str(path)) for path in self.predictions.values()]
        rows += [("picture", str(plot)) for plot in self.plots]
        rows += [("warning", shorten(text, 110, placeholder=" ...")) for text in self.warnings]
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {value}" for name, value in rows]
        return "\n".join([f"{self.experiment_id} on {self.dataset}{' (debug)' * self.debug}", *lines])


def build_result(experiment: "BareExperiment[ExperimentArgs]") -> RunResult:
    """What the run of `experiment` has come to so far."""
    recorder, position, best = experiment.recorder, experiment.position, experiment.best
    epoch = recorder.weights_epoch
    val = {row["split"]: row["metrics"] for row in recorder.history.rows if row["epoch"] == epoch}
    checkpoints = {"last": recorder.checkpoints.path_of("last"), "best": recorder.checkpoints.path_of("best")}
    return RunResult(
        experiment_id=experiment.args.experiment_id,
        run_dir=recorder.directory.path,
        dataset=experiment.splits.name,
        epochs=position.epoch,
        steps=position.step,
        best_epoch=best.epoch,
        best_metric=None if experiment.best_metric is None else experiment.best_metric[0],
        best_value=best.value,
        weights_epoch=epoch,
        val=flat({name: val[name] for name in experiment.splits.val if name in val}, "val"),
        test=flat(experiment.test_metrics, "test"),
        seconds=round(recorder.record.seconds_before + time.perf_counter() - recorder.started, 3),
        samples_per_second=position.num_samples / position.train_seconds if position.train_seconds else None,
        stopped_early=recorder.stopped_early,
        checkpoints={role: path for role, path in checkpoints.items() if path is not None},
        predictions=dict(experiment.prediction_files),
        plots=list(experiment.plots),
        warnings=list(experiment.warnings),
        threshold=experiment.threshold,
        debug=experiment.options.debug,
        slowed_by=_slowed_by(experiment),
    )


def _slowed_by(experiment: "BareExperiment[ExperimentArgs]") -> list[str]:
    does = {
        "--profile": experiment.options.profile is not None,
        "--compile": experiment.args.compile,
        "--detect_anomaly": experiment.options.detect_anomaly,
    }
    return [flag for flag, is_on in does.items() if is_on]


def flat(results: dict[str, dict[str, float]], usual: str | None = None) -> dict[str, float]:
    """Metrics of several splits under their full names; those of the split called `usual` keep their bare ones."""
    return {
        metric if split == usual else f"{split}/{metric}": value
        for split, metrics in results.items()
        for metric, value in metrics.items()
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value
