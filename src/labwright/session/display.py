"""`Display`: what a run shows on the terminal while it trains: a bar for each pass, a line for each epoch."""

import math
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from labwright.args import ExperimentArgs
from labwright.runs.terminal import Progress, Terminal

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

T = TypeVar("T")


class Display:
    """The progress of `experiment` on `terminal`."""

    def __init__(self, experiment: "BareExperiment[ExperimentArgs]", terminal: Terminal) -> None:
        self.terminal = terminal
        self._experiment = experiment
        self._progress: Progress[Any] | None = None
        self._loss = math.nan
        self._main_metric = ""
        self._epoch_started = time.perf_counter()

    def watch(self, batches: Iterable[T], num_batches: int | None, split: str) -> Progress[T]:
        """The batches, their progress shown."""
        if split == next(iter(self._experiment.splits.train), None):
            self._epoch_started = time.perf_counter()
        epoch = self._experiment.epoch
        place = f"epoch {epoch}/{self._experiment.num_epochs} " if epoch else ""
        self._progress = self.terminal.progress(batches, total=num_batches, title=f"{place}{split}")
        self._show_status()
        return self._progress

    def step(self, loss: float) -> None:
        """Show the newest training loss."""
        self._loss = loss
        self._show_status()

    def epoch(self, epoch: int, results: dict[str, dict[str, float]], *, is_best: bool) -> None:
        """Show what an epoch came to."""
        demo_only = self._experiment.splits.demo_only
        shown = [
            " ".join(
                [split, *["(demo)"] * (split in demo_only), *(f"{key} {value:.4f}" for key, value in metrics.items())]
            )
            for split, metrics in results.items()
        ]
        epochs = self._experiment.num_epochs
        seconds = time.perf_counter() - self._epoch_started
        facts = [f"epoch {epoch:>{len(str(epochs))}}/{epochs}", *shown, f"{seconds:.1f} s", *["best"] * is_best]
        self.terminal.line("  ".join(facts))
        train = [results[split] for split in self._experiment.splits.train if split in results]
        self._loss = next((metrics["loss"] for metrics in train if "loss" in metrics), math.nan)
        self._epoch_started = time.perf_counter()
        if self._experiment.best_metric is not None:
            value = self._experiment.deciding_value(results)
            if value is not None:
                self._main_metric = f"{self._experiment.best_metric[0]} {value:.4f}"

    def close(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.close()

    def _show_status(self) -> None:
        """The newest training loss and main metric beside the bar."""
        if self._progress is not None:
            loss = f"loss {self._loss:.4g}" if math.isfinite(self._loss) else ""
            self._progress.status = "  ".join(filter(None, [loss, self._main_metric]))
