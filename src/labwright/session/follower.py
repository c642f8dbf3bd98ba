"""`Follower`: the recorder of every rank but the first. It knows what the run has come to, and writes nothing."""

import math
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

from labwright.args import UserError
from labwright.runs import CheckpointStore, History, JsonlWriter, LogFile, RunDirectory, RunRecord
from labwright.runs.proof.fingerprints import FingerprintLog
from labwright.train import NonFiniteLoss
from labwright.train.distributed.group import Group
from labwright.train.distributed.world import RankLost

from .failing import ways_to_go_on
from .ranks import AgreedKeeper
from .recorder import Recorder
from .result import RunResult

T = TypeVar("T")


class Follower(Recorder):
    """Hears of all that a recorder hears of; rank 0's makes the files."""

    def follow(self, directory: RunDirectory, num_rows: int) -> None:
        """Take note of the run that rank 0 has opened; its history has so many rows."""
        self.directory = directory
        self.log, self.steps = cast(LogFile, _Unwritten()), cast(JsonlWriter, _Unwritten())
        self.fingerprints = cast(FingerprintLog, _Unwritten())
        self.keeper = AgreedKeeper(self.experiment, CheckpointStore(directory.checkpoints_path), self.stop)
        self.record = RunRecord(directory.record_path, {})
        self.history = _History(directory.history_path)
        self.history.rows = History.load(directory.history_path).rows[:num_rows] if num_rows else []

    @property
    def weights_epoch(self) -> int:
        position, best = self.experiment.position, self.experiment.best.epoch
        return position.epoch if self.best_path is None or best is None else best

    def start(self) -> None:
        """Nobody is told of it."""

    def sync_rows(self) -> None:
        """There are none."""

    def step(self, values: dict[str, float]) -> None:
        """Nobody reads it here."""

    def epoch(self, results: dict[str, dict[str, float]], *, is_best: bool) -> None:
        position = self.experiment.position
        for split, metrics in results.items():
            self.history.append(position.epoch, position.step, split, metrics)
        self.keeper.note_epoch({}, is_best, math.nan)

    def draw(self, what: str, draw: Callable[[], T]) -> T | None:
        """Rank 0 draws."""
        return None

    def finish(self, result: RunResult) -> None:
        self._is_finished = True

    def fail(self, error: BaseException) -> None:
        """A line where rank 0 has not heard of it: what stops all ranks alike is told once, by rank 0."""
        world = cast(Group, self.experiment.world)
        if isinstance(error, RankLost):
            if world.claims_last_word():
                text = f"rank {world.rank}: {error}; kept in {self.directory.path}"
                print("\n".join([text, *ways_to_go_on(self, error)]), file=sys.stderr, flush=True)
        elif isinstance(error, Exception) and not isinstance(error, UserError | NonFiniteLoss):
            print(f"rank {world.rank} failed: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


class _Unwritten:
    """A file that keeps nothing."""

    failure = None

    def __getattr__(self, name: str) -> Callable[..., None]:
        return _nothing


def _nothing(*args: Any, **kwargs: Any) -> None: ...


class _History(History):
    """Rows in memory alone."""

    def append(self, epoch: int, step: int, split: str, metrics: Any, learning_rate: float | None = None) -> None:
        self.rows.append({"epoch": epoch, "step": step, "split": split, "metrics": dict(metrics)})
