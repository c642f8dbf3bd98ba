"""`Recorder`: keeps what a run leaves while it runs: files, checkpoints, plot, trackers, the lines on the terminal."""

import math
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from labwright.args import ExperimentArgs
from labwright.args.base import canonical
from labwright.runs import (
    CheckpointStore,
    DiskError,
    History,
    JsonlWriter,
    LogFile,
    RunDirectory,
    RunLock,
    RunRecord,
    cut_rows,
    host,
    remove_file,
)
from labwright.runs.plots import ThrottledPlot, plot_history
from labwright.runs.proof.fingerprints import FingerprintLog
from labwright.runs.terminal import Terminal
from labwright.trackers import GuardedTrackers, RunInfo, Tracker
from labwright.train.distributed.world import RankLost

from .beginning import changed_sources, write_beginning
from .code import keep_code, note_code
from .display import Display
from .earlier import Earlier, Parent
from .failing import described, keep_what_there_is, telling_of_failures
from .keeper import Keeper
from .launch import Launch
from .ranks import keeper_class
from .result import RunResult, flat
from .secrets import secrets_of
from .signals import StopRequest

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

T = TypeVar("T")


class Recorder:
    """The files of one run, from its start to its end. `begin` or `take_up` makes or finds them, `start` comes next."""

    directory: RunDirectory
    lock: RunLock
    log: LogFile
    history: History
    steps: JsonlWriter
    fingerprints: FingerprintLog
    keeper: Keeper
    record: RunRecord
    num_step_rows: int = 0
    best_path: Path | None = None
    """The checkpoint that the run went back to when it had trained."""

    def __init__(
        self,
        experiment: "BareExperiment[ExperimentArgs]",
        terminal: Terminal,
        trackers: list[Tracker],
        *,
        started: float,
        launch: Launch,
        stop: StopRequest,
    ) -> None:
        self.experiment = experiment
        self.options = experiment.options
        self.terminal = terminal
        self.started = started
        self.launch = launch
        self.stop = stop
        self.secrets = secrets_of(experiment.machine, experiment.options, experiment.args)
        self.throttle = ThrottledPlot()
        self.trackers = GuardedTrackers(trackers, terminal.warn, secrets=self.secrets)
        self.display = Display(experiment, terminal)
        self._is_finished = False
        self._at_last = ExitStack()

    def begin(self, parent: Parent | None = None) -> None:
        """Make the run directory, with what is known before the first step; `parent` is the run it descends from."""
        experiment = self.experiment
        results_dir = experiment.machine.results_dir
        staged = RunDirectory.stage(results_dir, experiment.args.experiment_id, self.options.results_subdir)
        self.lock = RunLock.take(staged.path)
        self._at_last.callback(self.lock.release)
        write_beginning(staged, experiment, self.launch, parent, secrets=self.secrets)
        self._open(staged.publish())
        self.record = RunRecord(self.directory.record_path, self.directory.record(), self.secrets)

    def take_up(self, earlier: Earlier, num_rows: dict[str, Any]) -> None:
        """Go on with a run: its files are cut back to what they held when the checkpoint was made."""
        self.lock = earlier.lock
        self._at_last.callback(self.lock.release)
        self._open(earlier.directory)
        experiment, position = self.experiment, self.experiment.position
        changed = {change.path: [change.old, change.new] for change in earlier.changes}
        place = {"epoch": position.epoch, "step": position.step, "changed": changed}
        # First, so that nobody takes a run for finished whose files are being cut.
        self.record = RunRecord.resume(self.directory, place, secrets=self.secrets)
        self.record.update(
            identity=experiment.args.identity(),
            host=host(),
            machine=canonical(experiment.machine),
            options=canonical(self.options),
            chosen=experiment.chosen,
            sources=changed_sources(self.record.content, self.launch, changed),
        )
        if self.launch.flags is not None:
            self.record.update(flags=list(self.launch.flags))
        self._cut_back(earlier, num_rows)
        if changed:
            self.directory.write_args(canonical(experiment.args))
        for change in earlier.changes:
            self.terminal.line(str(change))

    def _open(self, directory: RunDirectory) -> None:
        """Open the files of the run."""
        options, self.directory = self.options, directory
        self.log = LogFile(directory.log_path, self.secrets)
        self._at_last.callback(self._close_log)
        self.terminal.attach(self.log)
        if self.lock.problem is not None:
            self.terminal.warn(self.lock.problem)
        store = CheckpointStore(
            directory.checkpoints_path, keep_last=options.keep_checkpoints, keep_best=options.keep_best
        )
        self.keeper = keeper_class(self.experiment.world)(self.experiment, store, self.stop)
        self.history = History(directory.history_path, sync=False)
        self.steps = JsonlWriter(directory.steps_path)
        self.fingerprints = FingerprintLog(directory.fingerprints_path)
        self._at_last.callback(self._close_rows)
        self._at_last.callback(self._close_keeper)
        self.experiment.artifacts.keep_in(directory.path)

    def _cut_back(self, earlier: Earlier, num_rows: dict[str, Any]) -> None:
        """Take from the run's files what came after the checkpoint, and what a kill left behind."""
        self.checkpoints.sweep()
        for line in dict.fromkeys([*earlier.rejected, *self.checkpoints.drop_damaged()]):
            self.terminal.warn(line)
        remove_file(self.directory.path / "artifacts" / "bad_batch.json")
        counts = {"history": 0, "steps": 0, "artifacts": {}} | num_rows
        self.history = History.load(self.directory.history_path, counts["history"], sync=False)
        self.fingerprints.cut(self.experiment.position.step)
        self.num_step_rows = len(cut_rows(self.directory.steps_path, counts["steps"]))
        self.experiment.artifacts.restore(self.directory.path, counts["artifacts"])
        for name, kept in (("history", len(self.history.rows)), ("steps", self.num_step_rows)):
            if counts[name] is not None and kept < counts[name]:
                self.terminal.warn(f"{counts[name] - kept} rows of {name}.jsonl are lost; the weights are not")

    def start(self) -> None:
        """Keep the code, tell the trackers, and the person in front of it of a wait."""
        self.record.keep_room()
        note_code(self.record, keep_code(self.experiment, self.launch, self.directory, self.terminal))
        args, is_resumed = self.experiment.args, self.options.resume is not None
        self.trackers.start(
            RunInfo(
                experiment_id=args.experiment_id,
                run_dir=self.directory.path,
                run_name=self.options.run_name,
                tags=self.options.tags,
                config=canonical(args),
                resumed=(self.record.content.get("trackers") or {}) if is_resumed else None,
                resumed_step=self.experiment.position.step if is_resumed else None,
                resumed_epoch=self.experiment.epoch if is_resumed else None,
            )
        )
        self.record.update(trackers=self.trackers.state())
        if self.experiment.chosen.get("compile"):
            self.terminal.line("torch compiles the model with the first batches, which takes a while")

    @property
    def checkpoints(self) -> CheckpointStore:
        return self.keeper.store

    def num_rows(self) -> dict[str, Any]:
        """How many rows each file has that grows: a checkpoint knows what belongs to it."""
        self.experiment.flush()
        rows = {"history": len(self.history.rows), "steps": self.num_step_rows}
        return rows | {"artifacts": self.experiment.artifacts.counts()}

    def sync_rows(self) -> None:
        """Make those rows durable, before a checkpoint counts on them; more may be written meanwhile."""
        self.fingerprints.sync()
        self.steps.flush_to_disk()
        self.history.flush_to_disk()
        self.experiment.artifacts.sync()

    # -- what the loop tells

    def watch(self, batches: Iterable[T], num_batches: int | None, split: str) -> Iterable[T]:
        """The batches, their progress on the terminal."""
        return self.display.watch(batches, num_batches, split)

    def step(self, values: dict[str, float]) -> None:
        """Write a row of steps.jsonl."""
        position = self.experiment.position
        self.display.step(values["loss"])
        row = {"step": position.step, "epoch": position.epoch, **values, "memory": self.experiment.memory()}
        self.steps.append(row)
        self.num_step_rows += 1
        self.trackers.log_step(position.step, values)

    def epoch(self, results: dict[str, dict[str, float]], *, is_best: bool) -> None:
        """Tell what an epoch came to: history, trackers, a line, the plot. `Keeper.end_epoch` makes its checkpoint."""
        position, rate = self.experiment.position, self.experiment.position.learning_rate
        for split, metrics in results.items():
            has_rate = split in self.experiment.splits.train and math.isfinite(rate)
            self.history.append(position.epoch, position.step, split, metrics, rate if has_rate else None)
        full = flat(results)
        self.keeper.note_epoch(full, is_best, self._score(results))
        self.trackers.log_epoch(
            position.epoch, position.step, full | ({"learning_rate": rate} if math.isfinite(rate) else {})
        )
        self.display.epoch(position.epoch, results, is_best=is_best)
        self.throttle.maybe_draw(lambda: self.draw("history.png", self.draw_history))

    def _score(self, results: dict[str, dict[str, float]]) -> float:
        """What the epoch is ranked by, lower is better; NaN where nothing decides."""
        value, best = self.experiment.deciding_value(results), self.experiment.best_metric
        if value is None or best is None or self.experiment.position.epoch == 0:
            return math.nan
        return value if best[1] else -value

    def metrics_by_epoch(self) -> dict[int, dict[str, dict[str, float]]]:
        """The history so far: epoch -> split -> metrics."""
        found: dict[int, dict[str, dict[str, float]]] = {}
        for row in self.history.rows:
            found.setdefault(row["epoch"], {})[row["split"]] = row["metrics"]
        return found

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

    def checked_best(self) -> Path | None:
        """The checkpoint of the best epoch where that is another than the last, found whole."""
        best = self.checkpoints.path_of("best")
        if best is None or self.weights_epoch == self.experiment.position.epoch:
            return None
        self.checkpoints.verify(best)
        return best

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
        """The result of `draw`; what fails is a warning, since no run should be lost to a picture or a table.

        A disk that takes no more, or the loss of a rank, is an error all the same: what comes next would be lost too.
        """
        try:
            return draw()
        except (DiskError, RankLost):
            raise
        except Exception as error:
            self.terminal.warn(f"{what} failed: {type(error).__name__}: {error}")
            return None

    def finish(self, result: RunResult) -> None:
        """The run ended well: every file of it is whole, and then run.json says so."""
        self.terminal.note(result.summary())
        self.experiment.flush()
        self.sync_rows()
        self.fingerprints.close()
        self.steps.close()
        if self.log.failure is not None:
            raise self.log.failure
        self.record.finish("finished", result=result.to_json())
        self._is_finished = True
        self.trackers.finish("finished", _numbers(result), result.plots)

    def fail(self, error: BaseException) -> None:
        """The run ended otherwise: keep what there is, and say how to go on."""
        if self._is_finished:
            status, text = described(error)
            self.terminal.error(f"{status} when the run had finished: {text}; kept in {self.directory.path}")
        else:
            keep_what_there_is(self, error)

    def close(self) -> None:
        """Close what was opened of the files, and let others have the run."""
        self._at_last.close()

    def _close_rows(self) -> None:
        with telling_of_failures(self.terminal, "steps.jsonl"):
            self.steps.close()
        with telling_of_failures(self.terminal, "fingerprints.bin"):
            self.experiment.flush()
            self.fingerprints.close()

    def _close_keeper(self) -> None:
        with telling_of_failures(self.terminal, "the last checkpoint"):
            self.keeper.close()

    def _close_log(self) -> None:
        self.log.close()
        if self.log.failure is not None:
            self.terminal.warn(f"log.txt is not whole: {self.log.failure}")


def _numbers(result: RunResult) -> dict[str, Any]:
    """What a tracker's summary shows."""
    values: dict[str, float | None] = {**result.full_test()}
    if result.best_metric is not None:
        values |= {"best_epoch": result.best_epoch, f"best/{result.best_metric}": result.best_value}
    return {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
