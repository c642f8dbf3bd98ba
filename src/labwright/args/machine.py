"""`MachineConfig`: what belongs to this machine, kept in config.yaml beside the nearest pyproject.toml."""

from collections.abc import Collection
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Field, SecretStr
from pydantic_core import to_jsonable_python

from .annotations import is_secret
from .base import Args

FILE_NAME = "config.yaml"


class MachineConfig(Args):
    """Folders, devices and accounts of this machine."""

    cache_dir: Path = Field(default=Path("cache"), description="Where datasets keep their files.")
    results_dir: Path = Field(default=Path("results"), description="Where runs are written.")
    use_cuda: bool | None = Field(
        default=None, description="Unset: a GPU (CUDA, ROCm, MPS, XPU) if there is one; true: require one; false: CPU."
    )
    num_workers: Literal["auto"] | Annotated[int, Field(ge=0, le=256)] = Field(
        default="auto",
        description="Processes that load data; 0: the main one does; auto: all processors but one (8 at most) where a "
        "batch takes over 10 ms, else 0.",
    )
    wandb_entity: str | None = Field(default=None, description="Weights & Biases user or team.")
    wandb_project: str | None = Field(default=None, description="Weights & Biases project; unset: the experiment's id.")
    wandb_api_key: SecretStr | None = Field(
        default=None, description="Weights & Biases key; never written to a run. Or set WANDB_API_KEY."
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        if cls.__bases__[0] is not Args:
            from .experiment import ExperimentArgs, refuse_shared_names
            from .options import RunOptions

            refuse_shared_names(cls, ExperimentArgs, RunOptions)


MachineT = TypeVar("MachineT", bound=MachineConfig)


def config_path(start: Path | None = None) -> Path:
    """Where config.yaml stands: beside the nearest pyproject.toml at or above `start`, else in `start` itself."""
    start = (start or Path.cwd()).resolve()
    for folder in (start, *start.parents):
        if (folder / "pyproject.toml").is_file():
            return folder / FILE_NAME
    return start / FILE_NAME


def anchored(machine: MachineT, folder: Path, *, names: Collection[str] | None = None) -> MachineT:
    """`machine` with the relative paths among its fields `names` (None: all) resolved from `folder`."""
    paths = {
        name: folder / value.expanduser()
        for name in type(machine).model_fields
        if (names is None or name in names) and isinstance(value := getattr(machine, name), Path)
    }
    return machine.model_copy(update=paths)


def example_yaml(model: type[MachineConfig] = MachineConfig) -> str:
    """config.yaml with every field at its default and its description as a comment; secrets are left out."""
    from .files import yaml_entry

    lines = ["# This machine's settings. Flags (--results_dir=...) and LABWRIGHT_* variables override them."]
    for name, field in model.model_fields.items():
        default = field.get_default(call_default_factory=True)
        is_known = not field.is_required() and (default is None or not is_secret(field.annotation))
        entry = yaml_entry(name, to_jsonable_python(default)) if is_known else f"# {name}:"
        lines += ["", f"# {field.description}" if field.description else f"# {name}", entry]
    return "\n".join(lines) + "\n"


def write_first_config(path: Path, model: type[MachineConfig]) -> str | None:
    """Write config.yaml unless it exists; one line that says so, or why it was not written (None: it exists)."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(example_yaml(model))
    except FileExistsError:
        return None
    except OSError as error:
        return f"{path} cannot be written ({error.strerror}); using the defaults"
    return f"wrote {path} with this machine's defaults; edit it to change folders, devices and accounts"
