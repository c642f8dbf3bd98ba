"""The code of a run, kept with it; and whether code, arguments and data are those of an earlier run."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs
from labwright.args.wording import listed
from labwright.runs import RunDirectory, RunRecord, git_state, open_run
from labwright.runs.code.snapshot import Snapshot, code_differs, take_snapshot
from labwright.runs.record import did_train
from labwright.runs.terminal import Terminal

from .launch import Launch

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

_MOST = 3
"""Files that a warning names."""


def keep_code(
    experiment: "BareExperiment[ExperimentArgs]", launch: Launch, run: RunDirectory, terminal: Terminal
) -> dict[str, Any] | None:
    """Commit and branch, and the exact code as a snapshot; None outside a git repository."""
    machine, folder = experiment.machine, launch.code_dir
    state = git_state(folder)
    if state is None or not experiment.options.snapshot:
        return None if state is None else dict(state)
    left_out = (machine.results_dir, machine.cache_dir)
    snapshot = take_snapshot(folder, run.path.name, leave_out=left_out, warn=terminal.warn)
    return {**state, **(snapshot.to_json() if snapshot else {})}


def note_code(record: RunRecord, git: dict[str, Any] | None) -> None:
    """In run.json: as the run's, or as that of the resume which goes on with it."""
    resumes = record.content["resumes"]
    if not resumes or record.content["git"] is None:
        record.update(git=git)
    else:
        record.update(resumes=[*resumes[:-1], {**resumes[-1], "git": git}])


def finished_twin(experiment: "BareExperiment[ExperimentArgs]", launch: Launch) -> RunDirectory | None:
    """A finished run with the same arguments, data and code, the newest; None if there is none that is known to be."""
    from labwright.runs.listing.index import read_index

    identity, fingerprint = experiment.args.identity(), experiment.splits.fingerprint
    runs = sorted(read_index(experiment.machine.results_dir), key=lambda run: run.started, reverse=True)
    for run in runs:
        if run.status != "finished" or run.identity != identity or run.debug:
            continue
        record = RunDirectory(run.path).record()
        same_data = fingerprint is not None and (record.get("dataset") or {}).get("fingerprint") == fingerprint
        if did_train(record) and same_data and changed_code(experiment, record, launch) == []:
            return RunDirectory(run.path)
    return None


def changed_code(
    experiment: "BareExperiment[ExperimentArgs]", record: dict[str, Any], launch: Launch
) -> list[str] | None:
    """The files that differ between the code that a run kept and the code as it is; None: it cannot be told."""
    snapshot, machine = Snapshot.of(record), experiment.machine
    if snapshot is None:
        return None
    return code_differs(launch.code_dir, snapshot.tree, leave_out=(machine.results_dir, machine.cache_dir))


def warnings_of_changed_code(
    experiment: "BareExperiment[ExperimentArgs]", run: RunDirectory | None, launch: Launch
) -> list[str]:
    """A line where the code is not that of the run that is resumed, or else of the one whose weights are tested."""
    run = run or _run_of_weights(experiment)
    paths = None if run is None else changed_code(experiment, run.record(), launch)
    if run is None or not paths:
        return []
    named = [*paths[:_MOST], *([f"{len(paths) - _MOST} more"] if len(paths) > _MOST else [])]
    return [f"the code has changed since {run.path.name} was trained: {listed(named)}"]


def _run_of_weights(experiment: "BareExperiment[ExperimentArgs]") -> RunDirectory | None:
    spec = experiment.args.from_checkpoint
    if experiment.options.stage == "train" or not isinstance(spec, str):
        return None
    path = Path(spec).expanduser().absolute()
    folder = next((each for each in (path, *path.parents[:2]) if (each / "run.json").is_file()), None)
    return None if folder is None else open_run(folder)
