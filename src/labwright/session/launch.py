"""How a run was started, so that its command.sh can start it again."""

import json
import shlex
import sys
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel

from labwright.args.annotations import is_secret
from labwright.args.base import canonical

from .startup import Startup

OF_THIS_START = frozenset(
    {"config", "print_config", "resume", "force", "preflight", "profile", "profile_startup", "skip_existing"}
)
"""What was said of one start, and not of the run."""


@dataclass(frozen=True)
class Launch:
    """The program, where it ran, and the words that were typed.

    `flags` are those that args.yaml does not hold; None stands for whatever differs from the defaults.
    """

    program: tuple[str, ...] = (sys.executable, "-m", "labwright")
    cwd: Path = field(default_factory=Path.cwd)
    flags: tuple[str, ...] | None = None
    typed: tuple[str, ...] = ()
    sources: dict[str, str] = field(default_factory=dict[str, str])
    """Where each argument that is not a default was said, by its path."""
    startup: Startup | None = None
    """What has been measured of the start so far."""

    def resume_command(self, run: Path, num_ranks: int = 1) -> str:
        """What to type, where this was typed, to go on with a run."""
        program = [_near(Path(word), self.cwd) if Path(word).is_absolute() else word for word in self.program]
        if num_ranks > 1:
            program[:1] = ["torchrun", f"--nproc_per_node={num_ranks}"]  # which brings its own interpreter
        return shlex.join([*program, "resume", _near(run, self.cwd)])

    @property
    def code_dir(self) -> Path:
        """The folder of the code that runs: the script's, else the working directory."""
        script = Path(self.program[-1])
        return script.parent if script.suffix == ".py" else self.cwd


def _near(path: Path, folder: Path) -> str:
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)


def flags_of(model: BaseModel, names: Collection[str]) -> list[str]:
    """The fields `names` of `model` as flags; secrets are left out, since files hold none."""
    data = canonical(model)
    fields = {name: field for name, field in type(model).model_fields.items() if name in names}
    values = {name: data[name] for name, field in fields.items() if not is_secret(field.annotation)}
    return [f"--{name}={value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()]


def changed_fields(model: BaseModel) -> list[str]:
    """The fields of `model` that do not have their default."""
    fields = type(model).model_fields
    return [name for name in fields if getattr(model, name) != fields[name].get_default(call_default_factory=True)]
