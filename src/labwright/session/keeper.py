"""`Keeper`: when a checkpoint is due, and what it is of."""

import math
import time
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs
from labwright.runs import CheckpointStore

from .signals import StopRequest

if TYPE_CHECKING:
    from labwright.bare import BareExperiment


class Keeper:
    """Makes the checkpoints of a run: at the end of each epoch, within long ones, and when it is asked to stop."""

    def __init__(self, experiment: "BareExperiment[ExperimentArgs]", store: CheckpointStore, stop: StopRequest) -> None:
        options = experiment.options
        self.store = store
        self.stop = stop
        self._experiment = experiment
        self._every_n_steps = options.checkpoint_every_n_steps or 0
        self._every_seconds = options.checkpoint_every_seconds or math.inf
        self._due_at = time.monotonic() + self._every_seconds
        self._epoch: tuple[dict[str, float], bool, float] = {}, False, math.nan

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is wanted now that `step` steps have been taken."""
        if self.stop.is_asked() or (self._every_n_steps and step % self._every_n_steps == 0):
            return True
        return time.monotonic() >= self._due_at

    def keep_within(self, progress: dict[str, Any]) -> None:
        """Make a checkpoint within an epoch; `progress` says how far it has come."""
        experiment = self._experiment
        experiment.progress = progress
        try:
            self._save(experiment.position.epoch - 1, {}, False, math.nan)
        finally:
            experiment.progress = None

    def note_epoch(self, metrics: dict[str, float], is_best: bool, score: float) -> None:
        """Remember what the epoch came to, for its checkpoint: that is made when everybody has heard of its end."""
        self._epoch = metrics, is_best, score

    def end_epoch(self) -> None:
        """Make the checkpoint of an epoch."""
        self._save(self._experiment.position.epoch, *self._epoch)

    def _save(self, epoch: int, metrics: dict[str, float], is_best: bool, score: float) -> None:
        self.stop.settle()
        state = self._experiment.checkpoint()
        if state is not None:
            self.store.save(self._experiment.position.step, epoch, state, metrics, is_best, score)
        self._due_at = time.monotonic() + self._every_seconds
