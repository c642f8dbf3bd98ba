"""A working tree as a snapshot holds it: which of its files are code, and their bytes as they lie there."""

import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..provenance import git_state
from .git import Git, Repository
from .left_out import holds_a_key, made_folders, secret_part
from .objects import FILE, LINK, PROGRAM, SUBMODULE, Entry, entries_of, joined, object_id, records

MAX_FILE_BYTES = 5 * 2**20
MAX_TOTAL_BYTES = 100 * 2**20
MAX_FILES = 5000
"""What is taken at most of files that git does not hold already: data is no code."""

_CONVERTING = frozenset({"text", "crlf", "eol", "filter", "ident", "working-tree-encoding"})
"""The git attributes with which a file in the working tree may differ from the one in the repository."""


@dataclass
class WorkingTree:
    """The files of a working tree, as a snapshot of it would hold them."""

    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """By id, those that the user's index does not name."""
    skipped: dict[str, str] = field(default_factory=dict[str, str])


def read_working_tree(repository: Repository, leave_out: Collection[Path]) -> WorkingTree:
    """Every file that is code but those in the folders `leave_out`; what git knows to be unchanged is not read."""
    git = repository.git
    tree = WorkingTree()
    tree.entries, unsure = _tracked(git)
    committed = dict(tree.entries)
    for path, status in _changes(git):
        unsure.add(path)
        if status == "D":
            tree.entries.pop(path, None)
            unsure.discard(path)
    unsure |= _converted(git, tree.entries.keys() - unsure)
    _take_submodules(repository, tree)
    _keep_committed_secrets(git, tree, unsure, committed)
    unsure -= {path for path, entry in tree.entries.items() if entry.mode == SUBMODULE}
    unsure |= _untracked_code(repository, tree, leave_out)
    _read_files(repository, tree, unsure)
    return tree


def _tracked(git: Git) -> tuple[dict[str, Entry], set[str]]:
    """The entries of the user's index, and the paths that it does not speak for: conflicts, and `assume-unchanged`."""
    entries: dict[str, Entry] = {}
    unsure: set[str] = set()
    for line in records(git("ls-files", "-z", "-v", "--stage")):
        about, _, path = line.partition("\t")
        tag, mode, oid, stage = about.split(" ")
        if stage == "0":
            entries[path] = Entry(mode, oid)
        if stage != "0" or tag.islower():
            unsure.add(path)
    return entries, unsure


def _changes(git: Git) -> Iterator[tuple[str, str]]:
    """The tracked paths that may not be as the index has them, with the letter of what happened to them."""
    words = records(git("diff-files", "-z", "--raw", "--no-renames", "--ignore-submodules=all"))
    for about in words:
        yield next(words), about.rpartition(" ")[2]


def _converted(git: Git, paths: Collection[str]) -> set[str]:
    """Those whose bytes in the working tree need not be those that git holds."""
    if not paths:
        return set()
    if git("config", "--get", "core.autocrlf", accept=(0, 1)).strip().lower() in (b"true", b"input"):
        return set(paths)
    words = records(git("check-attr", "-z", "-a", "--stdin", stdin=joined(paths)))
    return {path for path, name, value in zip(words, words, words, strict=True) if _converts(name, value)}


def _converts(name: str, value: str) -> bool:
    return name in _CONVERTING and value != "unset"


def _take_submodules(repository: Repository, tree: WorkingTree) -> None:
    """Those that are checked out count as the commit they are at."""
    for path in [path for path, entry in tree.entries.items() if entry.mode == SUBMODULE]:
        folder = Path(repository.top, path)
        if not (folder / ".git").exists():
            continue
        repository.git.remaining()
        state = git_state(folder)
        if state is not None and state["commit"]:
            tree.entries[path] = Entry(SUBMODULE, state["commit"])
            if state["dirty"]:
                tree.skipped[path] = "the uncommitted changes of a submodule"


def _keep_committed_secrets(git: Git, tree: WorkingTree, unsure: set[str], committed: Mapping[str, Entry]) -> None:
    """What may be a secret is kept as the user committed it, or not at all."""
    secrets = [path for path in committed.keys() | unsure if secret_part(path, committed)]
    if not secrets:
        return
    commit = git("rev-parse", "--quiet", "--verify", "HEAD", accept=(0, 1)).decode().strip()
    head = dict(entries_of(git, commit)) if commit else {}
    for path in secrets:
        if path in unsure or tree.entries.get(path) != head.get(path):
            tree.skipped[path] = "may hold a secret; kept as committed" if path in head else "may hold a secret"
        unsure.discard(path)
        tree.entries.pop(path, None)
        tree.entries |= {path: head[path]} if path in head else {}


def _untracked_code(repository: Repository, tree: WorkingTree, leave_out: Collection[Path]) -> set[str]:
    """The untracked files that are not ignored, without secrets and what programs made."""
    paths = list(records(repository.git("ls-files", "-z", "--others", "--exclude-standard")))
    every = tree.entries.keys() | set(paths)
    given = {os.path.relpath(folder.resolve(), repository.top) for folder in leave_out}
    left_out = given - {"."} | made_folders(repository.top, every)
    found: set[str] = set()
    for path in paths:
        secret = secret_part(path, every)
        if path.endswith("/"):
            tree.skipped[path] = "a repository of its own"
        elif secret is not None:
            tree.skipped[secret] = "may hold a secret"
        elif left_out.isdisjoint(map(str, PurePosixPath(path).parents)):
            found.add(path)
    return found


def _read_files(repository: Repository, tree: WorkingTree, paths: Iterable[str]) -> None:
    """Put the files at `paths` into the tree as they are now, code and small files first where not all fit."""
    known = {entry.oid for entry in tree.entries.values()}
    num_files, num_bytes = 0, 0
    for size, path, about in _by_importance(repository.top, tree, paths):
        repository.git.remaining()
        reason = None
        if size > MAX_FILE_BYTES:
            reason = f"larger than {MAX_FILE_BYTES // 2**20} MB"
        elif num_bytes + size > MAX_TOTAL_BYTES or num_files >= MAX_FILES:
            reason = f"beyond {MAX_TOTAL_BYTES // 2**20} MB or {MAX_FILES:,} files that are not committed"
        content = None
        if reason is None:
            try:
                content = _content(os.path.join(repository.top, path), about)
            except OSError as error:
                reason = f"cannot be read: {error.strerror}"
        if content is not None and holds_a_key(path, content):
            content, reason = None, "may hold a secret"
        if content is None:
            tree.skipped[path] = f"{reason}{'; kept as committed' * (path in tree.entries)}"
            continue
        oid = object_id(content, repository.empty_id)
        tree.entries[path] = Entry(_mode(about), oid)
        if oid not in known:
            tree.contents[oid] = content
            num_files, num_bytes = num_files + 1, num_bytes + size


def _by_importance(top: str, tree: WorkingTree, paths: Iterable[str]) -> list[tuple[int, str, os.stat_result]]:
    """Size, path and status of those that are there, Python before the rest and small before large."""
    found: list[tuple[int, str, os.stat_result]] = []
    for path in paths:
        try:
            about = os.lstat(os.path.join(top, path))
        except (FileNotFoundError, NotADirectoryError):
            tree.entries.pop(path, None)
            continue
        except OSError as error:
            tree.skipped[path] = f"cannot be read: {error.strerror}"
            continue
        if stat.S_ISREG(about.st_mode) or stat.S_ISLNK(about.st_mode):
            found.append((about.st_size, path, about))
        else:
            tree.entries.pop(path, None)  # a folder took the place of a file
    return sorted(found, key=lambda each: (not each[1].endswith(".py"), each[:2]))


def _content(path: str, about: os.stat_result) -> bytes:
    if stat.S_ISLNK(about.st_mode):
        return os.fsencode(os.readlink(path))
    with open(path, "rb") as file:
        return file.read()


def _mode(about: os.stat_result) -> str:
    if stat.S_ISLNK(about.st_mode):
        return LINK
    return PROGRAM if about.st_mode & stat.S_IXUSR else FILE
