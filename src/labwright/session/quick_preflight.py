"""Before a run of more than a few minutes: will it end well? Asked within a second, without a trace in the run."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, cast

from labwright.args import ExperimentArgs, UserError
from labwright.runs import write_durably
from labwright.runs.terminal import Terminal

from .estimates import Estimate, estimate, num_batches, num_training_batches
from .prepare import prepare
from .rehearsal import Rehearsal, difference, save_state, scratch_folder

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

LONG_SECONDS = 180.0
"""Shorter runs are their own preflight."""
_MANY_BATCHES = 2_000
_MUCH_WORK = 3e11
"""Samples times weights: some minutes of a CPU."""
_MOST_WEIGHTS = 2**24
"""To write more of them, several times over, takes longer than a second."""


class WillFail(UserError):
    """The run would end in an error that can be foreseen."""


def quick_preflight(experiment: "BareExperiment[ExperimentArgs]", terminal: Terminal) -> None:
    """Try a few batches of a long training, say what it will take, and leave `experiment`, just prepared, as it was.

    Raises:
        WillFail: its checkpoints cannot be saved, or have no room on the disk.
    """
    if not _may_be_long(experiment):
        return
    from .trial import can_be_tried

    if not can_be_tried(experiment):
        return
    torch_experiment = cast("Experiment[ExperimentArgs]", experiment)
    if sum(each.numel() for each in torch_experiment.model.parameters()) > _MOST_WEIGHTS:
        terminal.line("preflight: not tried, since saving so many weights takes a while; --preflight tries it")
        return
    is_as_it_was = False
    try:
        is_as_it_was = _try(torch_experiment, terminal)
    except UserError:
        raise
    except Exception as error:  # the run itself will say more, if it meets with that too
        terminal.line(f"preflight: not tried to its end: {type(error).__name__}: {error}")
    finally:
        if not is_as_it_was:
            pass
    if not is_as_it_was:
        prepare(experiment, experiment.options)
