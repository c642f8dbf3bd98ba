"""The run directory: where one run keeps everything it leaves."""

import contextlib
import json
import os
import re
import secrets as random_names
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Self, cast

from labwright.args.errors import UserError
from labwright.args.files import load_file, yaml_text

from .command import command_script
from .durable import DiskError, make_directory, read_jsonl, sync_directory, write_durably
from .lock import is_locked

_UNPUBLISHED = ".new"
_STAGED = re.compile(r"\.\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{4}\.new")
_STALE_SECONDS = 60.0
"""A run that is being started has its lock long before."""


@dataclass(frozen=True)
class RunDirectory:
    """The directory of one run, and the names of what is in it."""

    path: Path

    @classmethod
    def create(cls, results_dir: Path, experiment_id: str, results_subdir: str | PurePath | None = None) -> Self:
        """A directory no other run has: `<results_dir>/<experiment_id>/[<results_subdir>/]<date>_<time>_<4 hex>`."""
        return cls.stage(results_dir, experiment_id, results_subdir).publish()

    @classmethod
    def stage(cls, results_dir: Path, experiment_id: str, results_subdir: str | PurePath | None = None) -> Self:
        """Such a directory under a name that nobody sees before `publish`, so that each run is seen with its files."""
        parent = run_parent(results_dir, experiment_id, results_subdir)
        try:
            make_directory(parent)
            _sweep_unpublished(parent)
            path = _make_unique_directory(parent)
            sync_directory(parent)
        except OSError as error:
            raise _unwritable(parent, error) from error
        except DiskError as error:
            raise _unwritable(parent, error.cause) from error
        return cls(path)

    def publish(self) -> Self:
        """The directory under its final name, now that its first files are there."""
        final = self.final_path
        try:
            self.path.rename(final)
            sync_directory(final.parent)
        except OSError as error:
            raise _unwritable(final.parent, error) from error
        return type(self)(final)

    @property
    def final_path(self) -> Path:
        """Where the directory is once it is published."""
        return self.path.with_name(self.path.name.removeprefix(".").removesuffix(_UNPUBLISHED))

    @property
    def args_path(self) -> Path:
        return self.path / "args.yaml"

    @property
    def command_path(self) -> Path:
        return self.path / "command.sh"

    @property
    def record_path(self) -> Path:
        return self.path / "run.json"

    @property
    def history_path(self) -> Path:
        return self.path / "history.jsonl"

    @property
    def steps_path(self) -> Path:
        return self.path / "steps.jsonl"

    @property
    def fingerprints_path(self) -> Path:
        return self.path / "fingerprints.bin"

    @property
    def plot_path(self) -> Path:
        return self.path / "history.png"

    @property
    def checkpoints_path(self) -> Path:
        return self.path / "checkpoints"

    @property
    def model_path(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def log_path(self) -> Path:
        return self.path / "log.txt"

    def write_args(self, args: Mapping[str, Any]) -> None:
        """Write args.yaml: the effective arguments, as JSON-like values, with `experiment_id`."""
        write_durably(self.args_path, yaml_text(args).encode())

    def write_command(
        self,
        program: Sequence[str],
        *,
        cwd: Path,
        flags: Sequence[str] = (),
        typed: Sequence[str] = (),
        secrets: Iterable[str] = (),
    ) -> None:
        """Write command.sh: runs `program` on this directory's args.yaml with `flags`, in `cwd`, from anywhere.

        `typed` is what the user wrote and stands in a comment. `secrets` are masked everywhere.
        """
        script = command_script(program, cwd=cwd, flags=flags, typed=typed, secrets=secrets)
        write_durably(self.command_path, script, mode=0o777)

    def args(self) -> dict[str, Any]:
        """The run's effective arguments."""
        return load_file(self.args_path)

    def record(self) -> dict[str, Any]:
        """What run.json says: status, times, versions, dataset, result, ..."""
        try:
            content = json.loads(self.record_path.read_bytes())
        except (ValueError, RecursionError) as error:
            raise UserError(f"{self.record_path} is damaged: it is not JSON") from error
        except OSError as error:
            raise UserError(f"{self.record_path} cannot be read: {error.strerror}") from error
        if not isinstance(content, dict):
            raise UserError(f"{self.record_path} is damaged: it is not a JSON object")
        return cast(dict[str, Any], content)

    def history(self) -> list[dict[str, Any]]:
        """The rows of history.jsonl; `History.load(run.history_path)` answers questions about them."""
        return read_jsonl(self.history_path)


def open_run(path: str | os.PathLike[str]) -> RunDirectory:
    """The run directory at `path`, for reading; UserError if that is not one."""
    run = RunDirectory(Path(path).expanduser().absolute())
    if not run.path.is_dir():
        raise UserError(f"{run.path}: no such run directory")
    if not run.record_path.is_file():
        raise UserError(f"{run.path} is not a run directory: it has no {run.record_path.name}")
    return run


def run_parent(results_dir: Path, experiment_id: str, results_subdir: str | PurePath | None = None) -> Path:
    """The directory in which such a run gets its own; UserError if that would lie outside `results_dir`."""
    parts = _inner_parts(experiment_id, "experiment id") + _inner_parts(str(results_subdir or "."), "results_subdir")
    try:
        root = results_dir.expanduser().resolve()
        parent = root.joinpath(*parts).resolve()
    except (OSError, RuntimeError) as error:  # RuntimeError: a loop of symbolic links
        raise UserError(f"results directory {results_dir} cannot be used: {error}") from error
    if not parent.is_relative_to(root):
        raise UserError(f"{root.joinpath(*parts)} is a link that leaves the results directory, to {parent}")
    return parent


def check_writable(directory: Path) -> None:
    """Raise a UserError unless files can be made in `directory`, or it can be made; leaves nothing behind.

    Nothing on the way is created, not even for a moment: a second run that starts now may rely on what it sees.
    """
    try:
        existing = directory.expanduser().resolve()
        while not existing.exists():
            existing = existing.parent
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"a full disk is found here")
    except (OSError, RuntimeError) as error:
        raise _unwritable(directory, error) from error


def _unwritable(directory: Path, error: OSError | RuntimeError) -> UserError:
    reason = error.strerror if isinstance(error, OSError) else error
    return UserError(f"cannot write to results directory {directory} ({reason}); choose another with --results_dir")


def _inner_parts(text: str, what: str) -> tuple[str, ...]:
    """The parts of a relative path that goes down only."""
    path = PurePath(text)
    if path.anchor or ".." in path.parts or not text.isprintable():
        raise UserError(f"{what} {text!r} must be a relative path inside the results directory, without ..")
    if not path.parts and what == "experiment id":
        raise UserError("the experiment id is empty")
    return path.parts


def _sweep_unpublished(parent: Path) -> None:
    """Remove what runs left that were killed before they were published; nothing had been computed by then."""
    with os.scandir(parent) as entries:
        staged = [Path(entry) for entry in entries if _STAGED.fullmatch(entry.name)]
    for path in staged:
        with contextlib.suppress(OSError):  # its run goes on, or somebody else removes it
            if time.time() - path.stat().st_mtime > _STALE_SECONDS and not is_locked(path):
                shutil.rmtree(path)


def _make_unique_directory(parent: Path) -> Path:
    while True:
        name = f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{random_names.token_hex(2)}"
        path = parent / f".{name}{_UNPUBLISHED}"
        try:
            path.mkdir()
        except FileExistsError:  # another run began in this second and drew the same suffix
            continue
        if not (parent / name).exists():
            return path
        path.rmdir()
