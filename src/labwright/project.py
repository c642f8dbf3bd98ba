"""What the folder one works in says: its registry, its config.yaml, and how a run of it is started again."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labwright.args.errors import UserError
from labwright.args.machine import MachineConfig, anchored, config_path
from labwright.args.options import RunOptions
from labwright.args.read import File, Reading, flag_values, read
from labwright.args.registry import Registry, as_registry, resolve

if TYPE_CHECKING:
    from labwright.args.draft import Draft
    from labwright.runs import RunDirectory
    from labwright.session import Launch

ENV_PREFIX = "LABWRIGHT_"


def read_experiment(
    registry: Registry,
    experiment_id: str,
    words: Sequence[str],
    *,
    machine: type[MachineConfig] = MachineConfig,
    prog: str = "run.py",
    config_file: Path,
) -> Reading:
    """The three configurations of a run, from config.yaml, `--config` files, the environment and `words`.

    With `--resume=RUN` among the words the run's own arguments lie over the environment, and its flags below the words.

    Raises:
        ArgsError: anything is wrong; it holds one line for each problem.
    """
    files = [File(config_file, schema="machine")] if config_file.is_file() else []
    earlier = earlier_run(words, machine, config_file)
    recorded = None
    if earlier is not None:
        recorded_id = earlier.args().get("experiment_id")
        if recorded_id != experiment_id:
            raise UserError(f"--resume: {earlier.path.name} is a run of {recorded_id}, not of {experiment_id}")
        recorded = File(earlier.args_path, schema="experiment")
        words = [*(earlier.record().get("flags") or []), *words, f"--resume={earlier.path}"]
    return read(
        {"experiment": resolve(registry, experiment_id), "machine": machine, "this run": RunOptions},
        words,
        prog=prog,
        env_prefix=ENV_PREFIX,
        files=files,
        recorded=recorded,
        usage=f"{prog} --experiment_id={experiment_id} [--flag=value ...]",
    )


def id_in_config(words: Sequence[str]) -> str | None:
    """The experiment that a --config file names, the last of them that names one."""
    from labwright.args.files import load_file

    for name in reversed(flag_values(words, "config")):
        found = load_file(Path(name)).get("experiment_id")
        if isinstance(found, str):
            return found
    return None


def earlier_run(words: Sequence[str], machine: type[MachineConfig], config_file: Path) -> "RunDirectory | None":
    """The run that `--resume` names; None where it is not among the words."""
    given = flag_values(words, "resume")
    if not given:
        return None
    from labwright.runs.listing.find import find_run

    folders = flag_values(words, "results_dir")
    run = find_run(given[-1], Path(folders[-1]) if folders else read_machine(machine, config_file).results_dir)
    if not run.args_path.is_file():
        raise UserError(f"--resume: {run.path} has no {run.args_path.name}; it cannot be continued, start it again")
    return run


def read_machine(model: type[MachineConfig], config_file: Path) -> MachineConfig:
    """The machine's configuration alone, from config.yaml and the environment.

    Raises:
        ArgsError: anything is wrong with them.
    """
    files = [File(config_file, schema="machine")] if config_file.is_file() else []
    reading = read({"machine": model}, [], env_prefix=ENV_PREFIX, files=files)
    return machine_of(reading, config_file.parent)


def registry_of_project() -> Registry:
    """The registry that `[tool.labwright] registry = "module:NAME"` in the nearest pyproject.toml names."""
    import tomllib
    from importlib import import_module

    path = config_path().with_name("pyproject.toml")
    if not path.is_file():
        raise UserError("no pyproject.toml here or above; run this inside a lab, or make one with: labwright new DIR")
    try:
        tools: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("tool", {})
    except ValueError as error:
        raise UserError(f"{path}: is not valid TOML ({error})") from None
    entry = tools.get("labwright", {}).get("registry", "")
    module, _, name = str(entry).partition(":")
    if not name:
        raise UserError(f'{path}: needs [tool.labwright] registry = "package.module:NAME"')
    sys.path[:0] = [folder for folder in (str(path.parent / "src"), str(path.parent)) if folder not in sys.path]
    try:
        return as_registry(getattr(import_module(module), name))
    except (ModuleNotFoundError, AttributeError) as error:
        raise UserError(f"{path}: registry {entry!r} cannot be found ({error})") from None


def machine_of(reading: Reading, folder: Path) -> MachineConfig:
    """Relative paths mean the folder of config.yaml, or where the command was typed if they were typed."""
    machine = cast(MachineConfig, reading.models["machine"])
    draft = reading.drafts["machine"]
    typed = [name for name in type(machine).model_fields if draft.source_of(name).kind in ("flag", "environment")]
    machine = anchored(machine, Path.cwd(), names=typed)
    return anchored(machine, folder)


def launch_of(reading: Reading, config_file: Path, typed: Sequence[str]) -> "Launch":
    """What command.sh needs besides args.yaml: what was said of the machine and of this run, wherever it was said."""
    from labwright.runs import redact_argv
    from labwright.session import OF_THIS_START, Launch, flags_of

    flags: list[str] = []
    # Paths are written out in full: the run may be resumed from another folder.
    models = reading.models | {"machine": machine_of(reading, config_file.parent)}
    for schema in ("machine", "this run"):
        draft = reading.drafts[schema]
        sources = {name: draft.source_of(name) for name in draft.nodes if name not in OF_THIS_START}
        said = [name for name, source in sources.items() if source.kind != "default"]
        flags += flags_of(models[schema], [name for name in said if sources[name].label != str(config_file)])
    nodes = [node for draft in reading.drafts.values() for node in draft.walk() if node.secret]
    secret = {name for node in nodes for name in (node.path, node.name, *node.aliases)}
    return Launch(
        _program(),
        Path.cwd(),
        tuple(flags),
        tuple(redact_argv(typed, flags=secret)),
        _sources(reading.drafts["experiment"]),
    )


def _sources(draft: "Draft") -> dict[str, str]:
    """Where each argument that is not a default was said, by its path; secrets have none."""
    found = {node.path: draft.source_of(node.path) for node in draft.walk() if not node.secret}
    return {path: source.label for path, source in found.items() if source.kind != "default"}


def _program() -> tuple[str, ...]:
    """The words that start this program again: a script by its path, a module by its name."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is not None:
        return sys.executable, "-m", spec.name.removesuffix(".__main__")
    script = Path(sys.argv[0])
    return (sys.executable, str(script.resolve())) if script.suffix == ".py" else (sys.executable, "-m", "labwright")
