"""A run that is taken up again: found, locked, and held against what is asked for now."""

from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.args.resume import Change, changes_since
from labwright.runs import CheckpointEntry, CheckpointStore, RunDirectory, RunLock, host, versions
from labwright.runs.listing.find import find_run
from labwright.runs.record import did_train
from labwright.runs.terminal import Terminal

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

_DECISIVE_PACKAGES = ("torch", "numpy", "labwright")
"""Another version of these may compute other bits."""


@dataclass
class Earlier:
    """A run as it was left, locked for whoever takes it up."""

    directory: RunDirectory
    lock: RunLock
    record: dict[str, Any]
    changes: list[Change]
    """The arguments that differ now."""
    checkpoint: Path | None = None
    """Where to go on; None: it was killed before there was one, so it begins anew."""
    entry: CheckpointEntry | None = None
    """What the index says of it."""
    rejected: tuple[str, ...] = ()
    """What is wrong with each newer one."""

    @property
    def is_done(self) -> bool:
        """Whether there is nothing left to do."""
        return self.record.get("status") == "finished" and not self.changes

    @property
    def needs_child(self) -> bool:
        """Whether what changed makes it another run."""
        return any(change.policy == "child" for change in self.changes)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.lock.release()


def open_earlier(experiment: "BareExperiment[ExperimentArgs]", options: RunOptions) -> Earlier:
    """The run that `--resume` names, locked.

    Raises:
        UserError: there is none, another process has it, or what changed since then cannot change within a run.
    """
    assert options.resume is not None
    directory = find_run(options.resume, experiment.machine.results_dir)
    lock = RunLock.take(directory.path)
    try:
        return _checked(experiment, options, directory, lock)
    except BaseException:
        lock.release()
        raise


def _checked(
    experiment: "BareExperiment[ExperimentArgs]", options: RunOptions, directory: RunDirectory, lock: RunLock
) -> Earlier:
    args, record = directory.args(), directory.record()
    if not did_train(record):
        raise UserError(f"--resume: {directory.path.name} did not train; there is nothing to continue")
    if bool(record.get("debug")) != options.debug:
        raise UserError(f"--resume: a debug run stays one, and only that; {directory.path.name} is the other kind")
    changes = changes_since(args, experiment.args)
    refused = [str(change) for change in changes if change.policy == "forbidden"]
    if refused:
        raise UserError(
            f"--resume: {', '.join(refused)}: this cannot change within a run; leave it out, or start a new run "
            f"(--from_checkpoint={directory.path} starts from its weights, where they fit)"
        )
    earlier = Earlier(directory, lock, record, changes)
    if not earlier.is_done:
        _find_checkpoint(earlier)
    return earlier


def _find_checkpoint(earlier: Earlier) -> None:
    store = CheckpointStore(earlier.directory.checkpoints_path)
    if store.is_empty():
        return
    try:
        found = store.newest_valid()
    except UserError as error:
        path = earlier.directory.path
        raise UserError(
            f"{error}; start a new run (--from_checkpoint={path} takes its model, if that is whole)"
        ) from None
    earlier.checkpoint, earlier.entry, earlier.rejected = found.path, found.entry, tuple(found.rejected)


def differences_of_environment(record: dict[str, Any], device: str) -> list[str]:
    """Why what follows may differ in its last bits from a run that was never interrupted; one line each."""
    before: dict[str, str] = record.get("versions") or {}
    now = versions(_DECISIVE_PACKAGES)
    lines = [
        f"{name} is {now[name]}, and was {before[name]} when the run began: results may differ in their last bits"
        for name in now
        if before.get(name, now[name]) != now[name]
    ]
    if record.get("device") not in (None, device):
        lines.append(f"the run began on {record['device']} and goes on on {device}: results may differ slightly")
    processor, before_that = host()["cpu"], record.get("processor")
    if device.startswith("cpu") and None not in (processor, before_that) and processor != before_that:
        lines.append(
            f"the processor is {processor}, and was {before_that} when the run began: results may differ in their last "
            "bits"
        )
    return lines


def check_data(record: dict[str, Any], fingerprint: str | None) -> None:
    """Raise a UserError if the data is not what it was."""
    before = (record.get("dataset") or {}).get("fingerprint")
    if before is not None and before != fingerprint:
        raise UserError(
            "--resume: the data has changed since the run began (another fingerprint), and half a run on each would be "
            "neither; bring the old data back, or start a new run"
        )


def check_epochs(num_epochs: int, begun: int) -> None:
    """Raise a UserError if fewer epochs are asked for than have begun."""
    if num_epochs < begun:
        raise UserError(f"--epochs={num_epochs}: {begun} epochs have begun already; ask for as many or more")


@dataclass(frozen=True)
class Parent:
    """The run that a child run begins from."""

    lineage: dict[str, Any]
    """For the child's record."""
    record: dict[str, Any]
    changed: list[str]
    """The paths of the arguments that make it a child."""


def begin_child(experiment: "BareExperiment[ExperimentArgs]", earlier: Earlier, terminal: Terminal) -> Parent:
    """Make `experiment` start with the weights of the earlier run."""
    for line in earlier.rejected:
        terminal.warn(line)
    name, changed = earlier.directory.path.name, [str(change) for change in earlier.changes]
    if "from_checkpoint" not in experiment.uses or earlier.checkpoint is None:
        why = "there is no checkpoint" if earlier.checkpoint is None else "it keeps no weights to start from"
        raise UserError(f"--resume: {', '.join(changed)} needs a child run, and {why}; start a new run instead")
    experiment.args = experiment.args.model_copy(update={"from_checkpoint": str(earlier.checkpoint)})
    terminal.line(f"{'; '.join(changed)}: this is a child of {name}, which starts with its weights")
    place = earlier.entry or {}
    lineage = {
        "run": name,
        "path": str(earlier.directory.path),
        "epoch": place.get("epoch"),
        "step": place.get("step"),
        "changed": changed,
    }
    return Parent(lineage, earlier.record, [change.path for change in earlier.changes])
