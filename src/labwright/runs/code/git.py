"""The git program, asked in a way that changes nothing of its user's: no hooks, no monitors, no locks, no prompts."""

import os
import subprocess
import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple, Self

TIMEOUT_SECONDS = 10.0

_SETTINGS = {
    "core.fsmonitor": "false",  # would run a program that the repository names
    "core.hooksPath": os.devnull,
    "core.logAllRefUpdates": "false",
    "core.sparseCheckout": "false",  # what is there counts, not what should be
    "core.splitIndex": "false",  # a temporary index would leave its other half in the repository
    "i18n.commitEncoding": "UTF-8",
}
_OUTSIDE = ("not a git repository", "must be run in a work tree", "cannot change to")
_PLAIN = {
    "GIT_LITERAL_PATHSPECS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_KEPT_VARIABLES = ("GIT_CONFIG", "GIT_CEILING_DIRECTORIES", "GIT_DISCOVERY_ACROSS_FILESYSTEM", "GIT_EXEC_PATH")


class GitError(Exception):
    """git is not there, could not answer, or took too long; the text says which."""


class NoRepositoryError(GitError):
    """There is no git, or no working tree of a repository here."""


class Git:
    """The git program in one folder; all that is asked of it together has to end within `seconds`."""

    def __init__(self, folder: Path, *, seconds: float | None = None) -> None:
        self.folder = folder
        self.seconds = TIMEOUT_SECONDS if seconds is None else seconds
        self._ends = time.monotonic() + self.seconds

    def remaining(self) -> float:
        """Seconds that are left; a GitError if there are none."""
        remaining = self._ends - time.monotonic()
        if remaining <= 0:
            raise GitError(f"git in {self.folder} did not end within {self.seconds:g} s")
        return remaining

    def __call__(
        self,
        *words: str,
        stdin: bytes = b"",
        variables: Mapping[str, str] | None = None,
        accept: Collection[int] = (0,),
    ) -> bytes:
        """What git prints; a GitError with its complaint where its exit code is not one to `accept`."""
        command, environment = command_of(self.folder, words), git_environment() | dict(variables or {})
        try:
            answer = subprocess.run(
                command, env=environment, input=stdin, capture_output=True, timeout=self.remaining(), check=False
            )
        except FileNotFoundError as error:
            raise NoRepositoryError("the git program is not installed") from error
        except subprocess.TimeoutExpired:
            self._ends = 0.0
            self.remaining()
            raise
        except OSError as error:
            raise GitError(f"git cannot be started: {error.strerror}") from error
        if answer.returncode in accept:
            return answer.stdout
        complaint = answer.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
        is_outside = any(saying in complaint for saying in _OUTSIDE)
        raise (NoRepositoryError if is_outside else GitError)(f"git {words[0]} in {self.folder}: {complaint}")


def command_of(folder: Path, words: tuple[str, ...]) -> list[str]:
    """The command line that asks git for `words` in `folder`, for whoever reads its answer piece by piece."""
    settings = [word for name, value in _SETTINGS.items() for word in ("-c", f"{name}={value}")]
    return ["git", *settings, "--no-optional-locks", "-C", str(folder), *words]


def git_environment() -> dict[str, str]:
    """The environment without what a git hook sets: that names the hook's repository, not the one of a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    kept |= {name: value for name, value in os.environ.items() if name.startswith(_KEPT_VARIABLES)}
    return kept | _PLAIN


class Repository(NamedTuple):
    """A repository with a working tree, and the folder in it that one asked about."""

    git: Git
    top: str
    home: str
    """The main working tree, or the git folder where it has none; it outlives linked working trees."""
    folder: str
    empty_id: str
    """The id of no object, as long as they are here."""

    @classmethod
    def around(cls, code_dir: Path) -> Self:
        """The repository around a folder; a NoRepositoryError where there is none."""
        git = Git(code_dir.resolve())
        questions = ("--show-object-format", "--git-dir", "--git-common-dir", "--show-toplevel")
        form, own, common, top = os.fsdecode(git("rev-parse", *questions)).removesuffix("\n").split("\n", 3)
        own_dir, common_dir = ((git.folder / folder).resolve() for folder in (own, common))
        beside = common_dir.parent if common_dir.name == ".git" else common_dir
        home = top if own_dir == common_dir else beside
        folder = Path(os.path.relpath(git.folder, top)).as_posix()
        git = Git(Path(top), seconds=git.remaining())
        return cls(git, top, str(home), folder, "0" * (40 if form == "sha1" else 64))
