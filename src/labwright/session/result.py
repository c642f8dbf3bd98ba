"""`RunResult`: what a run came to, for scripts and for the summary at its end."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any


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
    plots: list[Path] = field(default_factory=list[Path])
    warnings: list[str] = field(default_factory=list[str])

    def full_test(self) -> dict[str, float]:
        """The test metrics under their full names."""
        return {name if "/" in name else f"test/{name}": value for name, value in self.test.items()}

    def to_json(self) -> dict[str, Any]:
        """The result with paths as texts."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def summary(self) -> str:
        """The result as a person wants to read it, a fact a line."""
        rows = [(name.replace("/", " "), f"{value:.4f}") for name, value in self.full_test().items()]
        if self.best_metric is not None and self.best_value is not None:
            best = f"{self.best_epoch} of {self.epochs} ({self.best_metric} {self.best_value:.4f})"
            rows.append(("best epoch", best))
        if self.best_epoch not in (None, self.weights_epoch):
            rows.append(("tested weights", f"epoch {self.weights_epoch}, the last"))
        speed = f" (training at {self.samples_per_second:,.0f} samples/s)" if self.samples_per_second else ""
        rows.append(("time", f"{self.seconds:.1f} s{speed}"))
        rows.append(("run directory", str(self.run_dir)))
        rows += [("picture", str(plot)) for plot in self.plots]
        rows += [("warning", shorten(text, 110, placeholder=" ...")) for text in self.warnings]
        width = max(len(name) for name, _ in rows)
        lines = [f"  {name:<{width}}  {value}" for name, value in rows]
        return "\n".join([f"{self.experiment_id} on {self.dataset}", *lines])


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
