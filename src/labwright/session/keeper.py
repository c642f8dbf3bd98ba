"""`Keeper`: when a checkpoint is due, what it is of, and who writes it."""

import math
import time
from typing import TYPE_CHECKING, Any, cast

from labwright.args import ExperimentArgs
from labwright.runs import CheckpointStore

from .signals import StopRequest

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.train import TrainLoop

_WORTH_RESERVING = 2**24
"""Bytes of weights; the memory for fewer is there in no time."""
_MOST_STEPS_UNSEEN = 64
"""So many steps may pass before the clock is looked at again."""


class Keeper:
    """Makes the checkpoints of a run: at the end of each epoch, within long ones, and when it is asked to stop.

    The state is copied to memory that is kept for that, and a thread writes the copy while training goes on. One
    checkpoint is written at a time; who reads the index of `store` waits for it. What goes wrong is raised at the next
    step, and at the latest when the training ends.
    """

    def __init__(self, experiment: "BareExperiment[ExperimentArgs]", store: CheckpointStore, stop: StopRequest) -> None:
        options = experiment.options
        self.store = store
        self.stop = stop
        self._experiment = experiment
        self._writer = store.writer
        self._writer.on_failure = self._look_at_next_step
        self._is_in_background = options.background_checkpoints
        self._memory: Any = None
        """What the state is copied to; None before there is a state of tensors."""
        self._every_n_steps = options.checkpoint_every_n_steps or 0
        self._every_seconds = options.checkpoint_every_seconds or math.inf
        self._due_at = time.monotonic() + self._every_seconds
        self._look_at = 0
        """The step at which to see what is due."""
        self._looked = 0, time.monotonic()
        self._epoch: tuple[dict[str, float], bool, float] = {}, False, math.nan

    def is_due(self, step: int) -> bool:
        """Whether a checkpoint is wanted now that `step` steps have been taken."""
        return (step >= self._look_at or self.stop.number is not None) and self._is_due(step)

    def _is_due(self, step: int) -> bool:
        if self._is_in_background and self._memory is None:
            self._reserve_memory()
        now = time.monotonic()
        is_asked = self.stop.is_asked() or self._writer.has_failed
        if is_asked or now >= self._due_at or (self._every_n_steps and step % self._every_n_steps == 0):
            return True
        self._look_at = step + self._num_steps_until_half_time(step, now)
        self._looked = step, now
        return False

    def _num_steps_until_half_time(self, step: int, now: float) -> int:
        """A number of steps that at the pace of the last ones takes half of the time that is left, or less."""
        before, then = self._looked
        most = self._every_n_steps - step % self._every_n_steps if self._every_n_steps else _MOST_STEPS_UNSEEN
        pace = (step - before) / max(now - then, 1e-9)
        return max(1, int(min(most, _MOST_STEPS_UNSEEN, pace * (self._due_at - now) / 2)))

    def _look_at_next_step(self) -> None:
        self._look_at = 0

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
        self._writer.wait()
        content, step = self._experiment.checkpoint(), self._experiment.position.step
        if self._is_in_background and hasattr(content, "copied_to"):
            self._memory = self._memory or host_memory()
            content = content.copied_to(self._memory)

        def write() -> None:
            self._experiment.recorder.sync_rows()
            if content is not None:
                self.store.save(step, epoch, self._writer.pieces(content), metrics, is_best, score)

        if self._is_in_background and not callable(content):  # what a function writes may change while it does
            self._writer.begin(write)
        else:
            write()
        if self.stop.is_asked():
            self._writer.wait()
        self._due_at, self._look_at = time.monotonic() + self._every_seconds, 0

    def _reserve_memory(self) -> None:
        """Have the first checkpoint cost no more than the others: its memory is got ready while training goes on."""
        loop = cast("TrainLoop", self._experiment)
        if loop.position.step == 0 or loop.stepper.is_within_window:
            return  # optimizers have no state before their first step
        self._memory = memory = host_memory()
        if sum(each.nbytes for each in loop.model.parameters()) < _WORTH_RESERVING:
            return
        content = self._experiment.encode_state(self._experiment.state_dict())
        if hasattr(content, "copied_to"):
            self._writer.begin(lambda: content.reserve_in(memory))

    def end(self) -> None:
        """All checkpoints have been made: wait for the last one."""
        self._writer.wait()
        self._memory = None

    def close(self) -> None:
        """The same; where the run is broken off by a second signal, what is being written is given up."""
        if self.stop.is_asked() and not self.stop.is_orderly:
            self._writer.abandon()
        self.end()


def host_memory() -> Any:
    """What tensors are copied to; only who has some may ask for it, since it imports torch."""
    from labwright.train.host_memory import HostMemory

    return HostMemory()
