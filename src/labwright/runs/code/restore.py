"""The code of a snapshot, written out again: every file with its bytes and mode, whatever git would convert."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from labwright.args.errors import UserError

from .git import Git, GitError, NoRepositoryError, Repository, command_of, git_environment
from .objects import LINK, PROGRAM, SUBMODULE, Entry, entries_of, object_id
from .snapshot import Snapshot

_SECONDS = 600.0
"""Restoring is what the user waits for: only a git that hangs is given up."""


def repository_of(snapshot: Snapshot, *others: Path) -> Path:
    """The main folder of a repository that holds the snapshot: the one recorded, else the one around one of `others`.

    Raises:
        UserError: none of them does.
    """
    for folder in (Path(snapshot.repository), *others):
        try:
            Git(folder)("cat-file", "-e", f"{snapshot.commit}^{{tree}}")
        except GitError:
            continue
        try:
            return Path(Repository.around(folder).home)
        except NoRepositoryError:  # a git folder without a working tree of its own
            return folder
    raise UserError(
        f"the code is kept as commit {snapshot.commit[:12]} in {snapshot.repository}, which is not there or lost it; "
        "if the repository moved, do this inside it"
    )


def checkout_snapshot(repository: Path, commit: str, target: Path) -> list[str]:
    """Restore the code of a snapshot in a new worktree at `target`; what could not be restored (submodules).

    Raises:
        UserError: `target` is there and not empty, or git cannot do it.
    """
    refuse_full(target)
    git = Git(repository, seconds=_SECONDS)
    try:
        git("worktree", "add", "--quiet", "--detach", "--no-checkout", str(target), commit)
        try:
            missing = _write_files(repository, commit, target)
            Git(target)("read-tree", commit)
        except BaseException:
            git("worktree", "remove", "--force", str(target))
            raise
    except (GitError, OSError) as error:
        raise UserError(f"the code cannot be restored in {target}: {error}") from error
    return missing


def refuse_full(target: Path) -> None:
    """A UserError unless nothing, or an empty folder, is at `target`."""
    if target.is_symlink() or (target.exists() and (not target.is_dir() or any(target.iterdir()))):
        raise UserError(f"{target} is not empty; name another folder")


def export_snapshot(repository: Path, commit: str, target: Path) -> Path:
    """The code of a snapshot as plain files at `target`, its own; what is there already is checked.

    Raises:
        UserError: it cannot be restored there.
    """
    try:
        if target.is_dir() and _holds(target, repository, commit):
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}.tmp")
        try:
            draft.mkdir()
            _write_files(repository, commit, draft)
            _replace_folder(draft, target)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
    except (GitError, OSError) as error:
        raise UserError(f"the code cannot be restored in {target}: {error}") from error
    return target


def _replace_folder(draft: Path, target: Path) -> None:
    if target.exists():  # damaged, or changed by someone
        aside = draft.with_name(f"{draft.name}.old")
        target.rename(aside)
        shutil.rmtree(aside, ignore_errors=True)
    try:
        draft.rename(target)
    except OSError:  # another process restored the same code at the same time
        if not target.is_dir():
            raise


def _holds(folder: Path, repository: Path, commit: str) -> bool:
    """Whether these are the files of the snapshot, and no other Python."""
    expected = {path: entry for path, entry in entries_of(Git(repository), commit) if entry.mode != SUBMODULE}
    for path, entry in expected.items():
        file = folder / path
        if entry.mode == LINK:
            content = os.fsencode(os.readlink(file)) if file.is_symlink() else None
        else:
            content = file.read_bytes() if file.is_file() and not file.is_symlink() else None
        if content is None or object_id(content, like=entry.oid) != entry.oid:
            return False
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*.py") if path.is_file()}
    return found <= expected.keys()


def _write_files(repository: Path, commit: str, target: Path) -> list[str]:
    """Write the files of a commit into `target`; the submodules whose commit is not at hand."""
    entries = dict(entries_of(Git(repository), commit))
    for path in entries:
        _check_inside(path)
    missing: list[str] = []
    places: dict[str, list[tuple[str, Entry]]] = {}
    for path, entry in entries.items():
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        if entry.mode == SUBMODULE:
            missing += _write_submodule(repository / path, entry.oid, target / path, path)
        else:
            places.setdefault(entry.oid, []).append((path, entry))
    links: list[tuple[Path, bytes]] = []
    for oid, content in _contents(repository, places):
        for path, entry in places[oid]:
            if entry.mode == LINK:
                links.append((target / path, content))
            else:
                _write_file(target / path, content, is_program=entry.mode == PROGRAM)
    for place, content in links:  # last: nothing is ever written through one
        place.symlink_to(os.fsdecode(content))
    return missing


def _write_submodule(checkout: Path, commit: str, target: Path, path: str) -> list[str]:
    target.mkdir(exist_ok=True)
    if not (checkout / ".git").exists():
        return [path]
    try:
        return [f"{path}/{inner}" for inner in _write_files(checkout, commit, target)]
    except GitError:
        return [path]


def _write_file(path: Path, content: bytes, *, is_program: bool) -> None:
    mode = 0o777 if is_program else 0o666
    with open(path, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
        file.write(content)


def _contents(repository: Path, oids: Iterable[str]) -> Iterator[tuple[str, bytes]]:
    """Each object's content, read from one git as it comes."""
    command = command_of(repository, ("cat-file", "--batch", "--buffer"))
    with tempfile.TemporaryFile() as wanted:
        wanted.write("".join(f"{oid}\n" for oid in oids).encode())
        wanted.seek(0)
        with subprocess.Popen(
            command, env=git_environment(), stdin=wanted, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            assert process.stdout is not None
            for header in process.stdout:
                oid, *about = header.decode().split()
                if about == ["missing"]:
                    raise GitError(f"{repository} lost the object {oid}")
                content = process.stdout.read(int(about[1]))
                process.stdout.read(1)
                if object_id(content, like=oid) != oid:
                    raise GitError(f"{repository}: the object {oid} is damaged")
                yield oid, content


def _check_inside(path: str) -> None:
    parts = path.split("/")
    if path.startswith("/") or any(part.lower() in ("", ".", "..", ".git") for part in parts):
        raise GitError(f"the snapshot names a file outside itself: {path!r}")
