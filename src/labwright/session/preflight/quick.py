"""Before a run of more than a few minutes: will it end well? Asked within a second, without a trace in the run."""

import time
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs, UserError
from labwright.runs import DiskError, write_durably
from labwright.runs.terminal import Terminal

from ..prepare import prepare
from .estimates import Estimate, estimate, num_training_batches
from .rehearsal import as_tried, difference, rehearse, save_state, scratch_folder

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

LONG_SECONDS = 180.0
"""Shorter runs are their own preflight."""
MANY_BATCHES = 2_000
_MUCH_WORK = 3e11
"""Samples times weights: some minutes of a CPU."""
_MOST_WEIGHTS = 2**22
"""To save more of them several times takes longer than a second."""


class WillFail(UserError):
    """The run would end in an error that can be foreseen."""


def quick_preflight(experiment: "BareExperiment[ExperimentArgs]", terminal: Terminal) -> None:
    """Try a few batches of a long training, say what it will take, and leave `experiment`, just prepared, as it was.

    Raises:
        WillFail: its checkpoints cannot be saved, or have no room on the disk.
    """
    tried = as_tried(experiment)
    if tried is None or experiment.options.stage != "train" or experiment.options.debug:
        return
    num_weights = sum(each.numel() for each in tried.model.parameters())
    if not _may_be_long(tried, num_weights):
        return
    try:
        with scratch_folder(experiment.machine.results_dir) as folder:
            if num_weights > _MOST_WEIGHTS:
                return _look_from_afar(tried, folder, terminal)
            is_as_it_was = _try(tried, folder, terminal)
    except (WillFail, DiskError):
        raise
    except Exception as error:  # the run says more of it, if it meets with it too
        terminal.line(f"preflight: not tried to the end: {type(error).__name__}: {error}")
        is_as_it_was = False
    if not is_as_it_was:
        prepare(experiment, experiment.options)


def _may_be_long(experiment: "Experiment[ExperimentArgs]", num_weights: int) -> bool:
    num_samples = experiment.num_epochs * sum(map(len, experiment.splits.train.values()))
    return num_training_batches(experiment) > MANY_BATCHES or num_samples * num_weights > _MUCH_WORK


def _try(experiment: "Experiment[ExperimentArgs]", folder: Path, terminal: Terminal) -> bool:
    """Whether `experiment` is as it was, after a few steps and all the way back."""
    from .trial import left_as_it_was, return_to, take_steps

    name = next(iter(experiment.splits.train))
    with left_as_it_was(experiment):
        rehearse(experiment, folder)
        start = _saved(experiment, folder / "start")
        pace = {name: take_steps(experiment, name, epoch=1, num_steps=2).seconds_per_batch}
        seconds = estimate(experiment, folder, pace).seconds
        is_exact = seconds is None or seconds < LONG_SECONDS or _look_closer(experiment, folder, terminal, pace)
        return_to(experiment, start)
        return is_exact and difference(start, save_state(experiment, folder / "returned")) is None


def _look_from_afar(experiment: "Experiment[ExperimentArgs]", folder: Path, terminal: Terminal) -> None:
    """Whether the weights alone have room on the disk."""
    size = sum(each.nbytes for each in experiment.model.parameters())
    _require_space(estimate(experiment, folder, {}, checkpoint_bytes=size, other_bytes=size))
    terminal.line("preflight: not tried, to save so many weights takes longer than a second; --preflight does it")


def _require_space(found: Estimate) -> None:
    if found.lack_of_space is not None:
        raise WillFail(f"this run will not end well: {found.lack_of_space}")


def _saved(experiment: "Experiment[ExperimentArgs]", path: Path) -> Path:
    try:
        return save_state(experiment, path)
    except (TypeError, UserError) as error:
        raise WillFail(f"this run will not end well, no checkpoint of it can be saved: {error}") from error


def _look_closer(
    experiment: "Experiment[ExperimentArgs]", folder: Path, terminal: Terminal, pace: dict[str, float]
) -> bool:
    """Whether a resumed run goes on exactly; say what the run will take."""
    from .trial import difference_of_resumed, evaluate_batches, is_rounding

    for name in list(experiment.splits.val)[:1]:
        pace[name] = evaluate_batches(experiment, name, 1).seconds_per_batch
    started, checkpoint = time.perf_counter(), folder / "checkpoint"
    write_durably(checkpoint, experiment.checkpoint())
    seconds = time.perf_counter() - started
    found = estimate(
        experiment,
        folder,
        pace,
        checkpoint_bytes=checkpoint.stat().st_size,
        other_bytes=(folder / "start").stat().st_size,
        seconds_per_checkpoint=seconds,
    )
    _require_space(found)
    where = difference_of_resumed(experiment, checkpoint, num_steps=1)
    is_exact = where is None or is_rounding(experiment, where)
    if not is_exact:
        terminal.warn(f"preflight: {not_exact(str(where))}")
    terminal.line(f"preflight: {'ok; ' * is_exact}{found.text()}")
    return is_exact


def not_exact(where: str) -> str:
    """What to say of a run that goes on otherwise after a resume."""
    return (
        f"this run will not resume exactly: {where} differs after a resume; draw from the generators of Python, NumPy "
        "and torch, which are kept, and keep what else training depends on in state_dict()"
    )
