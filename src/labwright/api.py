"""`run`: an experiment from Python, as the command line would start it, but silent and without exits."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, SecretBytes, SecretStr
from pydantic_core import to_jsonable_python

from labwright.args.annotations import is_secret
from labwright.args.errors import UserError
from labwright.args.experiment import ExperimentArgs
from labwright.args.machine import MachineConfig, config_path
from labwright.args.options import RunOptions
from labwright.args.registry import Registry, as_registry
from labwright.args.wording import flag_key
from labwright.project import launch_of, machine_of, read_experiment, registry_of_project

if TYPE_CHECKING:
    from labwright.session import RunResult


def run(
    experiment: str | type[ExperimentArgs],
    changes: Mapping[str, Any] | None = None,
    *,
    experiments: Registry | None = None,
    machine: type[MachineConfig] = MachineConfig,
) -> "RunResult":
    """Run an experiment with some settings changed, and return what it came to.

        teacher = run("mnist", {"model.hidden_sizes": [64], "epochs": 3})
        student = run("mnist", {"from_checkpoint": teacher.run_dir, "run_name": "student"})

    `experiment` is an id of the registry `experiments` (None: the one that the nearest pyproject.toml names), or an
    Args class. The names in `changes` are those of the flags, of this run and the machine too; config.yaml and the
    environment count as they do on the command line. Nothing is printed, and nothing exits. The texts "none" and "null"
    are None to a setting that may be None, as they are on the command line.

    Raises:
        UserError: a setting, the data or the machine does not allow the run (an ArgsError lists all wrong settings).
    """
    registry = experiments if isinstance(experiment, str) else as_registry(experiment)
    registry = registry_of_project() if registry is None else registry
    experiment_id = experiment if isinstance(experiment, str) else next(iter(registry))
    words = [f"--experiment_id={experiment_id}", *(_flag(name, value) for name, value in (changes or {}).items())]
    config_file = config_path()
    reading = read_experiment(registry, experiment_id, words, machine=machine, config_file=config_file)
    built = cast(Any, reading.models["experiment"]).build(machine_of(reading, config_file.parent))
    options = cast(RunOptions, reading.models["this run"])
    return built.run(options, launch=launch_of(reading, config_file, ["labwright.run", *words]))


def _flag(name: str, value: Any) -> str:
    """The flag that says so, its value spelled as on the command line."""
    if flag_key(name) in ("help", "h", "print_config"):
        raise UserError(f"{name!r} is for the command line only")
    if flag_key(name) == "experiment_id":
        raise UserError(f"{name!r} is no change: which experiment to run is the first argument of run")
    try:
        plain = to_jsonable_python(_unveiled(value), fallback=_of_array)
    except (TypeError, ValueError) as error:
        raise UserError(f"{name!r} cannot be written as a flag: {error}") from None
    return f"--{name}={plain if isinstance(plain, str) else json.dumps(plain)}"


def _unveiled(value: Any) -> Any:
    """The same with its secrets readable, which JSON would have as asterisks."""
    if isinstance(value, SecretStr | SecretBytes):
        return value.get_secret_value()
    if isinstance(value, BaseModel):
        return _unveiled(value.model_dump()) if is_secret(type(value)) else value
    if isinstance(value, Mapping):
        return {key: _unveiled(item) for key, item in cast(Mapping[Any, Any], value).items()}
    if isinstance(value, list | tuple):
        return [_unveiled(item) for item in cast(Sequence[Any], value)]
    return value


def _of_array(value: Any) -> Any:
    """The numbers of an array, tensor or NumPy number."""
    if not hasattr(value, "tolist"):
        raise TypeError(f"a {type(value).__name__} is neither JSON nor an array")
    return value.tolist()
