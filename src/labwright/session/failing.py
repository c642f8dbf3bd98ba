"""What is kept and said of a run that did not end well. Nothing in here may hide the error itself."""

import traceback
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from labwright.runs.terminal import Terminal
from labwright.trackers import Status
from labwright.train.distributed.world import num_restarts_left
from labwright.train.nonfinite import NonFiniteLoss
from labwright.train.system_memory import is_out_of_memory

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs
    from labwright.bare import BareExperiment

    from .recorder import Recorder


def described(error: BaseException) -> tuple[Status, str]:
    """The status that a run ends with by this error, and the error in a line."""
    status: Status = "failed" if isinstance(error, Exception) else "interrupted"
    return status, f"{type(error).__name__}: {error}".rstrip(": ")


def keep_what_there_is(recorder: "Recorder", error: BaseException) -> None:
    """Say in run.json, on the terminal and to the trackers how the run ended, and how to go on.

    Each part of it may fail, on a full disk for one.
    """
    status, text = described(error)
    terminal, directory = recorder.terminal, recorder.directory
    with ExitStack() as at_last:
        at_last.callback(lambda: [terminal.error(line) for line in ways_to_go_on(recorder, error)])
        with telling_of_failures(terminal, "run.json"):
            recorder.record.finish(status, error=text)  # first: whoever interrupts may do so again
        recorder.display.close()
        terminal.error(f"{status}: {text}; kept in {directory.path}")
        with telling_of_failures(terminal, "artifacts/bad_batch.json"):
            _keep_suspects(recorder, error)
        if isinstance(error, Exception):
            terminal.note("".join(traceback.format_exception(error)).rstrip())
        with telling_of_failures(terminal, "history.png"):
            recorder.draw_history()
        recorder.trackers.finish(status, {}, [directory.plot_path] if directory.plot_path.is_file() else [])


@contextmanager
def telling_of_failures(terminal: Terminal, what: str) -> Generator[None]:
    """A block whose failure is a line: something worse is being told of."""
    try:
        yield
    except Exception as error:
        terminal.warn(f"{what} failed: {type(error).__name__}: {error}")


def _keep_suspects(recorder: "Recorder", error: BaseException) -> None:
    """artifacts/bad_batch.json: the samples that the run failed at, where it was the data it failed at."""
    suspects = recorder.experiment.suspects(error)
    if suspects is not None:
        recorder.experiment.store("bad_batch", suspects)
        recorder.terminal.error("the samples of that step: artifacts/bad_batch.json")


def ways_to_go_on(recorder: "Recorder", error: BaseException) -> list[str]:
    """The last lines, so that nobody has to look for them."""
    if recorder.options.stage != "train":
        return []
    if isinstance(error, Exception) and num_restarts_left():
        return ["torchrun starts it again, to go on from its latest checkpoint"]
    experiment = recorder.experiment
    command = recorder.launch.resume_command(recorder.directory.path, experiment.world.size)
    change = _change_against(experiment, error)
    if change is None:
        return [f"to go on: {command}"]
    if recorder.checkpoints.is_empty():
        return [f"to go on: start a new run with a change, such as {change}; there is no checkpoint yet to resume from"]
    advice = "to go on, with a change, since resumed as it is the run would end like this again:"
    return [advice, f"  {command} {change}"]


def _change_against(experiment: "BareExperiment[ExperimentArgs]", error: BaseException) -> str | None:
    """The flags of a run that may not end by such an error; None where it is not known to end so again."""
    if isinstance(error, NonFiniteLoss):
        return "--gradient_clipping=1"
    size, num_batches = experiment.args.batch_size, experiment.args.accumulate_batches
    if is_out_of_memory(error) and size > 1 and {"batch_size", "accumulate_batches"} <= experiment.uses:
        return f"--batch_size={size // 2} --accumulate_batches={2 * num_batches}"
    return None
