"""A run that is run again, in processes of its own: the code it had, its arguments, its flags; its results elsewhere.

The code is that of the run's snapshot, restored in a folder of its own, or where none was kept what lies there now. The
Python is the one at work here. Trackers hear nothing, no snapshot is made, and `LABWRIGHT_*` variables do not count.
"""

import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, cast

from labwright.args.errors import UserError
from labwright.args.machine import config_path
from labwright.args.wording import MASK, one_line, spelled

from ..code.restore import export_snapshot, refuse_full, repository_of
from ..code.snapshot import Snapshot
from ..command import on_ranks
from ..directory import RunDirectory
from ..provenance import GitState, git_state
from ..record import did_train, num_ranks_of, section

_NOT_REPEATED = frozenset(
    {
        *("use_wandb", "use_tensorboard", "run_name", "tags", "results_subdir"),
        *("quiet", "as_json", "json", "resume", "config", "print_config", "force", "preflight", "skip_existing"),
    }
)
"""Flags that say how a run is called, shown and started."""
_THREADS = re.compile(r"cpu \(([1-9][0-9]*) threads?\)")
"""The device of a run on the CPU."""
_ERROR = re.compile(r"(?:: error: |^failed: )(.*)")
"""How a program refuses its arguments, and a run ends that fails."""
_PREFIX = "labwright-"
_GRACE_SECONDS = 30.0


@dataclass(frozen=True)
class Repetition:
    """How a run is started again."""

    run: RunDirectory
    program: tuple[str, ...]
    cwd: Path
    code: Path | None
    """The folder of its code, restored; None: the code is what lies at its place now."""
    flags: Mapping[str, str]
    num_ranks: int
    """How many the run had."""

    def begin_command(
        self, results_dir: Path, changes: Mapping[str, Any], without: tuple[str, ...] = (), num_ranks: int = 1
    ) -> list[str]:
        """The words that begin it anew, with some flags changed or left out."""
        kept = {name: value for name, value in self.flags.items() if name not in without}
        flags = {**kept, "snapshot": False, **changes, "results_dir": str(results_dir)}
        words = [f"--{name}={spelled(value)}" for name, value in flags.items()]
        return [*on_ranks(self.program, num_ranks), f"--config={self.run.args_path}", *words]

    def resume_command(self, begun: RunDirectory) -> list[str]:
        """The words that go on with what `begin_command` began."""
        return [*self.program, f"--resume={begun.path}"]

    @property
    def code_text(self) -> str:
        """Which code it is, in words."""
        return "the code as it is now, since none was kept" if self.code is None else "the code of its snapshot"

    @contextmanager
    def process(self, command: list[str], log: Path | None = None) -> Generator["subprocess.Popen[bytes]"]:
        """The process, ended at the latest with the block; what it says stands in `log`, or on stderr without one."""
        with open(log or os.devnull, "wb") as file:
            try:
                process = subprocess.Popen(
                    command,
                    cwd=self.cwd,
                    env=self._environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=file if log else None,
                )
            except OSError as error:
                raise UserError(f"{self.run.path.name} cannot be started again: {error}") from error
            try:
                yield process
            finally:
                if process.poll() is None and self.num_ranks > 1:
                    process.terminate()  # torchrun hands it on to the ranks, and nobody does so for one that was killed
                    with suppress(subprocess.TimeoutExpired):
                        process.wait(_GRACE_SECONDS)
                if process.poll() is None:
                    process.kill()
                process.wait()

    def code_now(self) -> GitState | None:
        """Commit and branch of the code where it was not restored."""
        script = Path(self.program[-1])
        return git_state(script.parent if _is_script(self.program[-1]) else self.cwd)

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("LABWRIGHT_")}
        threads = _THREADS.fullmatch(str(self.run.record().get("device")))
        if threads:  # as many as then: sums come out otherwise in another order
            kept["OMP_NUM_THREADS"] = threads[1]
        if self.code is None:
            return kept
        # before what is installed: an editable installation points to the code as it is now
        folders = [str(folder) for folder in (self.code / "src", self.code) if folder.is_dir()]
        return kept | {"PYTHONPATH": os.pathsep.join([*folders, *filter(None, [kept.get("PYTHONPATH")])])}


def repeat_run(run: RunDirectory, code_dir: Path, *, cache_dir: Path, here: Path) -> Repetition:
    """How to start a run again, after its code was restored at `code_dir` (which must not be there yet).

    Its data is looked for where it was, and if that is gone in `cache_dir`; its repository also around `here`.

    Raises:
        UserError: it did not train, or its code, its place or the weights it began with are gone.
    """
    record, args = run.record(), run.args()
    _refuse_untrained(run, record)
    program, cwd = _start_of(run, record)
    _check_weights(args, cwd)
    flags = _flags_of(record, cache_dir)
    snapshot = Snapshot.of(record)
    if snapshot is None:
        for place in (cwd, *filter(_is_script, program[-1:])):
            if not Path(place).exists():
                raise UserError(f"{run.path.name}: its code was not kept, and {place} is gone")
        return Repetition(run, program, cwd, None, flags, num_ranks_of(record))
    code = export_snapshot(repository_of(snapshot, here), snapshot.commit, code_dir)
    program, new_cwd = _moved(program, cwd, snapshot, code)
    _link_data(args, cwd, new_cwd)
    config_file = config_path(new_cwd)
    if config_file.is_relative_to(code):  # all that it could say is among the flags
        config_file.touch()
    return Repetition(run, program, new_cwd, code / snapshot.folder, flags, num_ranks_of(record))


def begun_run(results_dir: Path) -> RunDirectory | None:
    """The run that a repetition began in this folder, as soon as it has its name."""
    found = [path.parent for path in results_dir.glob("*/*/run.json") if not path.parent.name.startswith(".")]
    return RunDirectory(found[0]) if found else None


def run_within(results_dir: Path) -> RunDirectory:
    """The run that a repetition left in this folder; a UserError if there is none."""
    run = begun_run(results_dir)
    if run is None:
        raise UserError(f"the program ended without a run in {results_dir}; what it does cannot be repeated")
    return run


@contextmanager
def working_folder(chosen: Path | None = None, *, keep: bool = False) -> Generator[Path]:
    """An empty folder to repeat a run in: a temporary one that goes with the block, unless it is to be kept or chosen.

    Raises:
        UserError: the chosen one is not empty.
    """
    if chosen is not None:
        refuse_full(chosen)
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen.resolve()
    elif keep:
        yield Path(tempfile.mkdtemp(prefix=_PREFIX)).resolve()
    else:
        # a killed run's data-loading workers may take a moment to notice
        with tempfile.TemporaryDirectory(prefix=_PREFIX, ignore_cleanup_errors=True) as folder:
            yield Path(folder).resolve()


def last_words(log: Path) -> str:
    """The line in which a process said why it ended; where none is about that, its last."""
    text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""
    lines = [line.strip() for line in text.split("\n") if line.strip()]
    errors = [found[1] for line in lines if (found := _ERROR.search(line))]
    return one_line((errors or lines or ["it said nothing"])[-1], 300)


def _refuse_untrained(run: RunDirectory, record: Mapping[str, Any]) -> None:
    if not did_train(record):
        raise UserError(f"{run.path.name} did not train; only runs that did are repeated")
    if record.get("debug"):
        raise UserError(f"{run.path.name} is a debug run, which is no result; only others are repeated")


def _start_of(run: RunDirectory, record: Mapping[str, Any]) -> tuple[tuple[str, ...], Path]:
    """The program and its working directory, as recorded, with the Python that is at work here."""
    words, cwd = record.get("program"), record.get("cwd")
    if not (isinstance(words, list) and len(cast(list[object], words)) > 1 and isinstance(cwd, str)):
        raise UserError(f"{run.record_path} does not say how the run was started; it cannot be repeated")
    return (sys.executable, *map(str, cast(list[object], words)[1:])), Path(cwd)


def _check_weights(args: Mapping[str, Any], cwd: Path) -> None:
    for path in _texts(args.get("from_checkpoint")):
        if not os.path.exists(cwd / Path(path).expanduser()):
            raise UserError(f"the run began with the weights in {path}, which are gone; without them it is another run")


def _flags_of(record: Mapping[str, Any], cache_dir: Path) -> dict[str, str]:
    """What was said of the machine and of the run; secrets and what is unset are not known."""
    said = [flag.removeprefix("--").partition("=") for flag in _texts(record.get("flags"))]
    flags = {name: value for name, _, value in said}
    flags |= {name: spelled(value) for name, value in section(record, "machine").items() if value is not None}
    flags = {name: value for name, value in flags.items() if MASK not in value and name not in _NOT_REPEATED}
    if not Path(flags.get("cache_dir", "")).is_dir():
        flags["cache_dir"] = str(cache_dir)
    return flags


def _is_script(word: str) -> bool:
    return word.endswith(".py")


def _moved(program: tuple[str, ...], cwd: Path, snapshot: Snapshot, code: Path) -> tuple[tuple[str, ...], Path]:
    """Program and working directory, where they stood in the repository now in the restored code."""
    top = Path(program[-1]).parent if _is_script(program[-1]) else cwd
    for _ in PurePosixPath(snapshot.folder).parts:
        top = top.parent
    if _is_script(program[-1]):
        script = code / Path(program[-1]).relative_to(top)
        if not script.is_file():
            raise UserError(f"the snapshot does not hold the program of the run, {program[-1]}")
        program = (*program[:-1], str(script))
    if cwd.is_relative_to(top):
        cwd = code / cwd.relative_to(top)
        cwd.mkdir(parents=True, exist_ok=True)
    return program, cwd if cwd.is_dir() else code / snapshot.folder


def _link_data(args: Mapping[str, Any], old: Path, new: Path) -> None:
    """Let the files that the arguments name, and that are no code, be found from the new working directory too."""
    for text in set(_texts(args)):
        path = Path(text)
        is_below = bool(path.parts) and not path.is_absolute() and ".." not in path.parts
        if is_below and os.path.exists(old / path) and not os.path.lexists(new / path):
            (new / path).parent.mkdir(parents=True, exist_ok=True)
            (new / path).symlink_to(old / path)


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        inner = cast(dict[str, Any], value).values() if isinstance(value, dict) else cast(list[Any], value)
        for item in inner:
            yield from _texts(item)
