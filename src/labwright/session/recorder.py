"""`Recorder`: keeps what a run leaves while it runs: files, checkpoints, plot, trackers, the lines on the terminal."""

import math
import time
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from labwright.args import ExperimentArgs
from labwright.args.base import canonical
from labwright.runs import (
    CheckpointStore,
    History,
    JsonlWriter,
    LogFile,
    RunDirectory,
    RunRecord,
    git_state,
    host,
    versions,
)
from labwright.runs.plots import ThrottledPlot, plot_history
from labwright.runs.terminal import Progress, Terminal
from labwright.trackers import GuardedTrackers, RunInfo, Tracker

from .launch import Launch, changed_fields, flags_of
from .result import RunResult, flat
from .secrets import secrets_of

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

T = TypeVar("T")
_PACKAGES = ("labwright", "torch", "numpy", "pydantic", "safetensors", "scikit-learn", "matplotlib", "wandb")


class Recorder:
    """The files of one run, from its start to its end. Making one creates the run directory; `start` comes next."""

    def __init__(
        self,
        experiment: "BareExperiment[ExperimentArgs]",
        terminal: Terminal,
        trackers: list[Tracker],
        started: float,
    ) -> None:
        args, machine, options = experiment.args, experiment.machine, experiment.options
        self.experiment = experiment
        self.options = options
        self.terminal = terminal
        self.started = started
        self.secrets = secrets_of(machine, options, args)
        self.directory = RunDirectory.create(machine.results_dir, args.experiment_id, options.results_subdir)
        self.log = LogFile(self.directory.log_path, self.secrets)
        self.terminal.attach(self.log)
        self.history = History(self.directory.history_path)
        self.steps = JsonlWriter(self.directory.steps_path)
        self.checkpoints = CheckpointStore(
            self.directory.checkpoints_path, keep_last=options.keep_checkpoints, keep_best=options.keep_best
        )
        self.throttle = ThrottledPlot()
        self.trackers = GuardedTrackers(trackers, terminal.warn, secrets=self.secrets)
        self.record = RunRecord.start(
            self.directory.record_path, secrets=self.secrets, experiment_id=args.experiment_id
        )
        self._progress: Progress[Any] | None = None
        self._loss = math.nan
        self._main_metric = ""
        self._epoch_started = time.perf_counter()

    def start(self, launch: Launch) -> None:
        """Write what is known before the first step, and tell the trackers."""
        args, machine, splits = self.experiment.args, self.experiment.machine, self.experiment.splits
        config = canonical(args)
        self.directory.write_args(config)
        flags = launch.flags
        if flags is None:
            flags = [flag for model in (machine, self.options) for flag in flags_of(model, changed_fields(model))]
        self.directory.write_command(
            launch.program, cwd=launch.cwd, flags=flags, typed=launch.typed, secrets=self.secrets
        )
        self.directory.steps_path.touch()
        self.record.update(
            options=canonical(self.options),
            machine=canonical(machine),
            versions=versions(_PACKAGES),
            host=host(),
            device=self.experiment.device_name(),
            debug=self.options.debug,
            git=git_state(launch.code_dir),
            dataset={"name": splits.name, "fingerprint": splits.fingerprint},
        )
        self.trackers.start(
            RunInfo(
                experiment_id=args.experiment_id,
                run_dir=self.directory.path,
                run_name=self.options.run_name,
                tags=self.options.tags,
                config=config,
            )
        )

    # -- what the loop tells

    def watch(self, batches: Iterable[T], num_batches: int | None, split: str) -> Progress[T]:
        """The batches, their progress on the terminal."""
        if split == next(iter(self.experiment.splits.train), None):
            self._epoch_started = time.perf_counter()
        epoch = self.experiment.epoch
        place = f"epoch {epoch}/{self.experiment.num_epochs} " if epoch else ""
        self._progress = self.terminal.progress(batches, total=num_batches, title=f"{place}{split}")
        self._show_status()
        return self._progress

    def step(self, values: dict[str, float]) -> None:
        """Write a row of steps.jsonl."""
        position = self.experiment.position
        self._loss = values["loss"]
        self._show_status()
        row = {"step": position.step, "epoch": position.epoch, **values, "memory": self.experiment.memory()}
        self.steps.append(row)
        self.trackers.log_step(position.step, values)

    def epoch(self, results: dict[str, dict[str, float]], *, is_best: bool) -> None:
        """Keep what an epoch came to: history, checkpoint, trackers, a line, the plot."""
        position, rate = self.experiment.position, self.experiment.position.learning_rate
        for split, metrics in results.items():
            has_rate = split in self.experiment.splits.train and math.isfinite(rate)
            self.history.append(position.epoch, position.step, split, metrics, rate if has_rate else None)
        full = flat(results)
        state = self.experiment.checkpoint()
        if state is not None:
            self.checkpoints.save(position.step, position.epoch, state, full, is_best, self._score(results))
        self.trackers.log_epoch(
            position.epoch, position.step, full | ({"learning_rate": rate} if math.isfinite(rate) else {})
        )
        self._show_epoch(position.epoch, results, is_best)
        self.throttle.maybe_draw(lambda: self.draw("history.png", self.draw_history))

    def _score(self, results: dict[str, dict[str, float]]) -> float:
        """What the epoch is ranked by, lower is better; NaN where nothing decides."""
        value, best = self.experiment.deciding_value(results), self.experiment.best_metric
        if value is None or best is None or self.experiment.position.epoch == 0:
            return math.nan
        return value if best[1] else -value

    @property
    def stopped_early(self) -> bool:
        stopping = self.experiment.early_stopping
        return stopping is not None and stopping.should_stop

    @property
    def weights_epoch(self) -> int:
        """The epoch whose state is tested and returned: the best, where it was asked for and kept."""
        best = self.experiment.best.epoch if self.experiment.args.return_best_model else None
        if best is None or self.checkpoints.path_of("best") is None:
            return self.experiment.position.epoch
        return best

    def _show_epoch(self, epoch: int, results: dict[str, dict[str, float]], improved: bool) -> None:
        demo_only = self.experiment.splits.demo_only
        shown = [
            " ".join(
                [split, *["(demo)"] * (split in demo_only), *(f"{key} {value:.4f}" for key, value in metrics.items())]
            )
            for split, metrics in results.items()
        ]
        epochs = self.experiment.num_epochs
        seconds = time.perf_counter() - self._epoch_started
        facts = [f"epoch {epoch:>{len(str(epochs))}}/{epochs}", *shown, f"{seconds:.1f} s", *["best"] * improved]
        self.terminal.line("  ".join(facts))
        train = [results[split] for split in self.experiment.splits.train if split in results]
        self._loss = next((metrics["loss"] for metrics in train if "loss" in metrics), math.nan)
        self._epoch_started = time.perf_counter()
        if self.experiment.best_metric is not None:
            value = self.experiment.deciding_value(results)
            if value is not None:
                self._main_metric = f"{self.experiment.best_metric[0]} {value:.4f}"

    def _show_status(self) -> None:
        """The newest training loss and main metric beside the bar."""
        if self._progress is not None:
            loss = f"loss {self._loss:.4g}" if math.isfinite(self._loss) else ""
            self._progress.status = "  ".join(filter(None, [loss, self._main_metric]))

    # -- what the session tells

    def draw_history(self) -> None:
        best = self.experiment.best_metric
        args, splits = self.experiment.args, self.experiment.splits
        plot_history(
            self.history.rows,
            self.directory.plot_path,
            title=f"{args.experiment_id}: {splits.name}{' (debug)' * self.options.debug}",
            subtitle=self.options.run_name or self.directory.path.name,
            best_epoch=self.experiment.best.epoch,
            best_metric=best[0] if best else None,
        )

    def draw(self, what: str, draw: Callable[[], T]) -> T | None:
        """The result of `draw`; what fails is a warning, since no run should be lost to a picture or a table."""
        try:
            return draw()
        except Exception as error:
            self.terminal.warn(f"{what} failed: {type(error).__name__}: {error}")
            return None

    def finish(self, result: RunResult) -> None:
        """The run ended well."""
        self.record.finish("finished", result=result.to_json())
        self.terminal.note(result.summary())
        try:
            self.trackers.finish("finished", _numbers(result), result.plots)
        finally:
            self._close()

    def fail(self, error: BaseException) -> None:
        """The run ended otherwise: keep what there is."""
        is_interrupt = not isinstance(error, Exception)
        status = "interrupted" if is_interrupt else "failed"
        text = f"{type(error).__name__}: {error}".rstrip(": ")
        self.record.finish(status, error=text)  # first: whoever interrupts may do so again
        if self._progress is not None:
            self._progress.close()
        self.terminal.error(f"{status}: {text}; kept in {self.directory.path}")
        if not is_interrupt:
            self.terminal.note("".join(traceback.format_exception(error)).rstrip())
        try:
            self.draw("history.png", self.draw_history)
            self.trackers.finish(status, {}, _existing([self.directory.plot_path]))
        finally:
            self._close()

    def _close(self) -> None:
        self.steps.close()
        self.log.close()


def _existing(paths: list[Path]) -> list[Path]:
    return [path for path in paths if path.is_file()]


def _numbers(result: RunResult) -> dict[str, Any]:
    """What a tracker's summary shows."""
    values: dict[str, float | None] = {**result.full_test()}
    if result.best_metric is not None:
        values |= {"best_epoch": result.best_epoch, f"best/{result.best_metric}": result.best_value}
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
