"""What every command has that tries an experiment out: the experiment, with any of its flags, and flags of its own."""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast

from labwright.args.errors import UserError
from labwright.args.experiment import refuse_shared_names
from labwright.args.machine import config_path
from labwright.args.read import File, flag_values, read
from labwright.args.registry import resolve
from labwright.args.tools import ToolOptions
from labwright.project import ENV_PREFIX, id_in_config, machine_of
from labwright.train.distributed.world import launched_size

from .base import Project

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs
    from labwright.bare import BareExperiment


class ToolModule(Protocol):
    """A module of this room: the first line of its docstring is the command's help."""

    __doc__: str | None
    OPTIONS: type[ToolOptions]

    def run(self, experiment: "BareExperiment[ExperimentArgs]", options: Any) -> int | None:
        """Do it; the exit code, None for 0. A UserError is one line on stderr and exit 2."""
        ...


def run_tool(name: str, module: ToolModule, words: Sequence[str], project: Project) -> int:
    """Read `words` as an experiment, its flags and the command's, and do it; the exit code."""
    if launched_size() > 1:
        raise UserError(f"{name}: it tries one process; start it without torchrun")
    command, doc = f"{project.prog} {name}", (module.__doc__ or "").strip().splitlines()[0]
    experiment_id = _named_id(words, project)
    if experiment_id is None and {"-h", "--help"} & {*words}:
        print(f"usage: {command} ID [--flag=value ...]\n\n{doc}\n\nAll flags: {command} ID --help")
        return 0
    if experiment_id is None:
        raise UserError(f"{name}: name an experiment: {command} ID; known: {', '.join(project.registry)}")
    if words and not words[0].startswith("-"):
        words = [*words[1:], f"--experiment_id={experiment_id}"]
    model = resolve(project.registry, experiment_id, said=name)
    schemas = {name: module.OPTIONS, "experiment": model, "machine": project.machine_model}
    try:
        refuse_shared_names(*schemas.values())
    except TypeError as error:
        raise UserError(f"{name}: {error}") from None
    config_file = config_path()
    reading = read(
        schemas,
        words,
        prog=project.prog,
        env_prefix=ENV_PREFIX,
        files=[File(config_file, schema="machine")] if config_file.is_file() else [],
        usage=f"{command} {experiment_id} [--flag=value ...]\n\n{doc}",
    )
    for note in reading.notes:
        print(f"{project.prog}: note: {note}", file=sys.stderr)
    if reading.print_config:
        from labwright.args.show import config_yaml

        print(config_yaml(reading), end="")
        return 0
    experiment = cast(Any, reading.models["experiment"]).build(machine_of(reading, config_file.parent))
    return module.run(experiment, reading.models[name]) or 0


def say(line: str) -> None:
    """Progress, on stderr."""
    print(line, file=sys.stderr, flush=True)


def as_tool(module: Any) -> ToolModule:
    return cast(ToolModule, module)


def _named_id(words: Sequence[str], project: Project) -> str | None:
    """The experiment that the first word, a flag or a --config file names, or the only one that there is."""
    if words and not words[0].startswith("-"):
        return words[0]
    given = flag_values(words, "experiment_id")
    if given:
        return given[-1]
    found = id_in_config(words)
    if found is not None:
        return found
    return next(iter(project.registry)) if len(project.registry) == 1 and words != ["--help"] else None
