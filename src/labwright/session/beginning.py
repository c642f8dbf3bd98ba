"""What a run directory holds before the first step."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs
from labwright.args.base import canonical
from labwright.runs import RunDirectory, RunRecord, host, versions
from labwright.runs.command import on_ranks
from labwright.train.distributed.world import is_on_one_machine

from .earlier import Parent
from .launch import OF_THIS_START, Launch, changed_fields, flags_of

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

START = "start.safetensors"
"""The weights that a child run starts with."""


def write_beginning(
    staged: RunDirectory,
    experiment: "BareExperiment[ExperimentArgs]",
    launch: Launch,
    parent: Parent | None,
    *,
    secrets: tuple[str, ...],
) -> None:
    """Write args.yaml, command.sh, run.json, and the weights of a child run, into a run directory to be published."""
    machine, options, splits = experiment.machine, experiment.options, experiment.splits
    flags = launch.flags
    if flags is None:
        changed = [(model, [*{*changed_fields(model)} - OF_THIS_START]) for model in (machine, options)]
        flags = [flag for model, names in changed for flag in flags_of(model, names)]
    if parent is not None:
        _keep_start(experiment, staged)
    args, here = experiment.args, host()
    staged.write_args(canonical(args))
    program = on_ranks(launch.program, experiment.world.size if is_on_one_machine() else 1)
    staged.write_command(program, cwd=launch.cwd, flags=flags, typed=launch.typed, secrets=secrets)
    staged.steps_path.touch()
    RunRecord.start(
        staged.record_path,
        secrets=secrets,
        experiment_id=args.experiment_id,
        identity=args.identity(),
        parent=None if parent is None else parent.lineage,
        resumes=[],
        program=list(launch.program),
        cwd=str(launch.cwd),
        flags=list(flags),
        sources=launch.sources if parent is None else changed_sources(parent.record, launch, parent.changed),
        options=canonical(options),
        machine=canonical(machine),
        versions=versions(),
        host=here,
        device=experiment.device_name(),
        processor=here["cpu"],
        chosen=experiment.chosen,
        debug=options.debug,
        dataset={"name": splits.name, "fingerprint": splits.fingerprint},
    )


def _keep_start(experiment: "BareExperiment[ExperimentArgs]", staged: RunDirectory) -> None:
    """Keep the weights that a child run starts with, and have its args say so: its parent replaces its checkpoints."""
    experiment.store_model(staged.path / START)
    start = staged.final_path / START
    experiment.args = experiment.args.model_copy(update={"from_checkpoint": str(start)})


def changed_sources(record: dict[str, Any], launch: Launch, changed: Iterable[str]) -> dict[str, str]:
    """Where the arguments of a run that goes on were said: the changed ones now, all others when it began."""
    said = {path: launch.sources.get(path, "changed at a resume") for path in changed}
    return (record.get("sources") or {}) | said
