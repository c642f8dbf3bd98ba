"""Several ranks in one run: joined at its start, agreed on when it stops and keeps its state, told of its end."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, cast

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.args.errors import Terminated
from labwright.loop.nested import NOT_STOPPED
from labwright.runs import RunDirectory, RunLock
from labwright.runs.record import num_ranks_of
from labwright.train.distributed.world import ALONE, RankLost, World, launched_size
from labwright.train.nonfinite import NonFiniteLoss

from .earlier import Earlier, open_earlier
from .keeper import Keeper
from .signals import WANTED, StopRequest, interruption

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment
    from labwright.train.distributed.group import Group

    from .recorder import Recorder

_runs = count()


@contextlib.contextmanager
def joined(experiment: "BareExperiment[ExperimentArgs]", options: RunOptions) -> Iterator[RunOptions]:
    """Within, `experiment.world` is the ranks that torchrun started; alone it is this process.

    Gives the options of the run: those of a job that torchrun has started anew resume what it had begun.

    Raises:
        UserError: this experiment cannot be shared among ranks.
    """
    experiment.world = ALONE
    if not _is_under_torchrun():
        yield options
        return
    from labwright.train.distributed.group import Group, join, recall

    from .strategies import import_parts

    if launched_size() > 1:
        import_parts(options.strategy)
        experiment.world = join(lambda: _device_of(experiment))
    key = experiment.key_of_restarts = f"labwright/run directory {next(_runs)}"
    begun = experiment.world.on_main(lambda: recall(key))
    if begun is not None and options.stage == "train" and Path(begun).is_dir():
        options = options.model_copy(update={"resume": begun})
    try:
        yield options
    except UserError:  # which all ranks have met with
        _leave(experiment, options.strategy)
        raise
    except BaseException as error:
        if isinstance(experiment.world, Group):
            experiment.world.confess(error)
        if _ends_all(experiment, error):
            _leave(experiment, options.strategy)
        raise
    else:
        _leave(experiment, options.strategy)


def _ends_all(experiment: "BareExperiment[ExperimentArgs]", error: BaseException) -> bool:
    """Whether every rank ends by this error, after the same step."""
    stop = experiment.recorder.stop if hasattr(experiment, "recorder") else None
    return isinstance(error, NonFiniteLoss) or (isinstance(stop, AgreedStop) and stop.is_orderly)


def _leave(experiment: "BareExperiment[ExperimentArgs]", strategy: str) -> None:
    if experiment.world.size > 1:
        experiment = cast("Experiment[ExperimentArgs]", experiment)
        if strategy != "fsdp":  # there the model itself needs the group
            experiment.parallel_model = None  # or its threads would outlive it
            if hasattr(experiment, "stepper"):
                experiment.stepper.ranks = None
        cast("Group", experiment.world).leave()


def _device_of(experiment: "BareExperiment[ExperimentArgs]") -> Any:
    """The device of this rank, chosen before anything lies on another one."""
    if "accumulate_batches" not in experiment.uses:
        raise UserError(
            f"{experiment.args.experiment_id} does not train with PyTorch's optimizers, and only these can share their "
            "work among ranks; start it without torchrun"
        )
    from .strategies import device_of

    return device_of(cast("Experiment[ExperimentArgs]", experiment))


def announce(experiment: "BareExperiment[ExperimentArgs]", directory: Path) -> None:
    """Leave word of the run directory for the processes that torchrun may start after these."""
    if experiment.key_of_restarts:
        from labwright.train.distributed.group import remember

        remember(experiment.key_of_restarts, str(directory))


def open_earlier_together(experiment: "BareExperiment[ExperimentArgs]", options: RunOptions) -> Earlier:
    """The run that `--resume` names, locked by rank 0 for all."""
    if experiment.world.size == 1:
        return open_earlier(experiment, options)
    own: Earlier | None = None

    def found() -> Earlier:
        nonlocal own
        own = open_earlier(experiment, options)
        return replace(own, lock=RunLock(None))

    shared = experiment.world.on_main(found)
    return shared if own is None else own


class AgreedStop(StopRequest):
    """A signal that any rank has heard ends all of them after the same step."""

    echo_seconds = 5.0  # torchrun hands on the Ctrl-C that the terminal has sent to everybody

    def __init__(self, world: "Group") -> None:
        super().__init__()
        self.world = world
        self.tells = world.is_main
        self.agreed: int | None = None
        self.is_lost = False
        """Whether the run ends since a rank is gone: torchrun's signals say nothing new."""

    def is_asked(self) -> bool:
        return self.agreed is not None

    def raise_if_asked(self) -> None:
        if self.agreed is not None:
            self.is_orderly = True
            raise interruption(self.agreed)

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        try:
            with super().deferred(), self.world.watching():
                yield
        except RankLost:
            self.is_lost = True
            raise
        self.take(self.world.sum(self.wish()))
        self.raise_if_asked()

    def hear(self, number: int, frame: FrameType | None) -> None:
        if self.is_lost:
            return
        lost = None if self._is_deferred else self._lost_before_the_signal()
        if lost is not None:
            raise RankLost(lost)
        super().hear(number, frame)

    def told_of(self, number: int) -> str:
        lost = self._lost_before_the_signal()
        return super().told_of(number) if lost is None else f"{lost}; stopping"

    def _lost_before_the_signal(self) -> str | None:
        """Whom torchrun has lost, so that it ends the others by a signal; None where the signal came to all."""
        lost = self.world.whom_we_lost()
        is_of_signal = lost is not None and any(kind.__name__ in lost for kind in (KeyboardInterrupt, Terminated))
        return None if is_of_signal else lost

    def wish(self) -> list[float]:
        """What this rank has heard, a number for each signal."""
        return [float(self.number == each) for each in WANTED]

    def take(self, sums: Sequence[float]) -> None:
        """What all ranks have heard."""
        self.agreed = next((each for each, heard in zip(WANTED, sums, strict=True) if heard), self.agreed)


def stop_request(world: World) -> StopRequest:
    """What hears the signals that end one process, or several."""
    return StopRequest() if world.size == 1 else AgreedStop(cast("Group", world))


class AgreedKeeper(Keeper):
    """Rank 0's clock says when a checkpoint is due, and all make it after the same step."""

    is_due_by_clock = False

    def is_due(self, step: int) -> bool:
        by_steps = bool(self._every_n_steps) and step % self._every_n_steps == 0
        return self.is_due_by_clock or by_steps or self.stop.is_asked()

    def wish(self) -> float:
        """Whether the time for a checkpoint has come, as a number."""
        is_wanted = time.monotonic() >= self._due_at or self._writer.has_failed
        return float(is_wanted and self._experiment.world.is_main)

    def _save(self, epoch: int, metrics: dict[str, float], is_best: bool, score: float) -> None:
        if self._experiment.world.is_main:
            super()._save(epoch, metrics, is_best, score)
        else:
            self.stop.settle()
            self._experiment.checkpoint()  # its part of the state
        self.is_due_by_clock = False
        self._experiment.world.same(None)  # others wait for the one that writes


class Agreement:
    """What ranks agree on where they meet: signals, checkpoints that are due, and calls of `stop`."""

    def __init__(self, experiment: "Experiment[Any]", stop: AgreedStop, keeper: AgreedKeeper) -> None:
        self._experiment = experiment
        self._stop = stop
        self._keeper = keeper

    def wishes(self) -> list[float]:
        """What this rank asks for, as numbers that add up."""
        level = self._experiment.wished_depth()
        return [*self._stop.wish(), self._keeper.wish(), *(float(level == each) for each in range(NOT_STOPPED))]

    def heard(self, sums: Sequence[float]) -> None:
        """Act on what all ranks ask for."""
        num_signals = len(WANTED)
        self._stop.take(sums[:num_signals])
        self._keeper.is_due_by_clock = sums[num_signals] > 0
        levels = [level for level, asked in enumerate(sums[num_signals + 1 :]) if asked]
        if levels:
            self._experiment.stop_at(levels[0])

    def meet(self) -> None:
        """Ask all ranks now."""
        self.heard(self._experiment.world.sum(self.wishes()))


def keeper_class(world: World) -> type[Keeper]:
    """What makes the checkpoints of one process, or of several."""
    return Keeper if world.size == 1 else AgreedKeeper


def follower_class() -> "type[Recorder]":
    """The recorder of a rank that writes nothing."""
    from .follower import Follower

    return Follower


def open_together(recorder: "Recorder", open_files: Callable[[], None]) -> None:
    """Open the run's files by `open_files` on rank 0; the others learn where they are."""
    experiment, world = recorder.experiment, recorder.experiment.world

    def opened() -> tuple[RunDirectory, int]:
        open_files()
        announce(experiment, recorder.directory.path)
        return recorder.directory, len(recorder.history.rows)

    directory, num_rows = world.on_main(opened)
    if world.size == 1:
        return
    if not world.is_main:
        from .follower import Follower

        cast(Follower, recorder).follow(directory, num_rows)
    stop, keeper = cast(AgreedStop, recorder.stop), cast(AgreedKeeper, recorder.keeper)
    together = cast("Experiment[Any]", experiment)
    together.agree_by(Agreement(together, stop, keeper))


def difference_of_ranks(record: dict[str, Any], world: World) -> list[str]:
    """A line where the run goes on with another number of ranks than it began with."""
    before = num_ranks_of(record)
    if before == world.size:
        return []
    return [
        f"the run goes on with {world.size} rank{'s' * (world.size != 1)} and had {before}: results differ in their "
        "last bits, and what is drawn at random while training differs"
    ]


def note_failure(recorder: "Recorder", error: BaseException) -> None:
    """Leave word for the other ranks; where one of them is gone torchrun signals the others to end: they are at it."""
    if isinstance(recorder.stop, AgreedStop):
        recorder.stop.is_lost = recorder.stop.is_lost or isinstance(error, RankLost)
        cast("Group", recorder.experiment.world).confess(error)


def _is_under_torchrun() -> bool:
    return launched_size() > 1 or (launched_size() == 1 and "TORCHELASTIC_RUN_ID" in os.environ)
