"""The exact code of a run: a commit under `refs/labwright/<run id>` that holds the working tree, byte for byte.

    tracked files            as they are now: changed, deleted, executable, links, submodules by their commit
    untracked, not ignored   too; but no data (by size, and datasets in shards), secrets (by name, and settings with a
                             key), other repositories, environments, run directories
    the user's               branch, index, stash, files and configuration are only read

Bytes are stored as they lie in the working tree: no clean filter (LFS), no line-ending conversion is applied, neither
then nor when they are restored. What is left out stands in `skipped`. A tracked file that is too large or may hold a
secret stays as the user committed it. The reference protects the commit from git's garbage collection.
"""

import os
import re
import tempfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self, TypedDict, cast

from .git import Git, GitError, NoRepositoryError, Repository
from .objects import check_object_ids, entries_of, is_object_id, joined
from .working_tree import WorkingTree, read_working_tree

OPT_OUT = "labwright.snapshot"
"""The git setting by which a repository, or a user, wants no snapshots: `git config labwright.snapshot false`."""

_REFS = "refs/labwright/"
_MAX_SKIPPED = 200
_AUTHOR = {
    f"GIT_{role}_{what}": value
    for role in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "labwright"), ("EMAIL", "labwright@localhost"))
}


class Skipped(TypedDict):
    """A file or folder that a snapshot does not hold as it was, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Snapshot:
    """Where the code of a run is kept."""

    commit: str
    tree: str
    ref: str
    repository: str
    """Its main working tree, or its git folder where it has none."""
    folder: str
    """Where within the repository the run's code began."""
    skipped: list[Skipped] = field(default_factory=list[Skipped])

    def to_json(self) -> dict[str, Any]:
        """The entries of `git` in run.json; `snapshot` is the commit."""
        entries = asdict(self)
        return {"snapshot": entries.pop("commit"), **entries}

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Self | None:
        """The snapshot that a run.json tells of; None where there is none."""
        git = record.get("git")
        if not isinstance(git, dict):
            return None
        entries = cast(dict[str, Any], git)
        commit, tree, ref, repository, folder = (
            entries.get(name) for name in ("snapshot", "tree", "ref", "repository", "folder")
        )
        if not (is_object_id(commit) and is_object_id(tree)) or not all(
            isinstance(text, str) for text in (ref, repository, folder)
        ):
            return None
        return cls(*map(str, (commit, tree, ref, repository, folder)), skipped=entries.get("skipped") or [])


def take_snapshot(
    code_dir: Path,
    run_id: str,
    *,
    leave_out: Collection[Path] = (),
    warn: Callable[[str], None] | None = None,
) -> Snapshot | None:
    """Keep the working tree around `code_dir` as it is now; None without git or a repository.

    Untracked files in the folders `leave_out` (results, caches) are no code. Whatever goes wrong, and a git that takes
    too long, is a line to `warn` and no snapshot. A second snapshot of a run has the first among its parents.
    """
    try:
        return _take(code_dir, run_id, leave_out)
    except NoRepositoryError:
        return None
    except (GitError, OSError) as error:
        if warn is not None:
            warn(f"the code of this run is not kept: {error}")
        return None


def drop_snapshot(repository: Path, run_id: str) -> None:
    """Let git forget the code of a run; nothing happens where there is none, or no repository."""
    try:
        Git(repository)("update-ref", "--no-deref", "-d", _ref_of(run_id))
    except GitError:
        return


def code_differs(code_dir: Path, tree: str, *, leave_out: Collection[Path] = ()) -> list[str] | None:
    """The paths at which the working tree around `code_dir` differs from a snapshot's tree; nothing is written.

    None: it cannot be told (no git, no repository, or not the one that holds the tree).
    """
    try:
        repository = Repository.around(code_dir)
        then = dict(entries_of(repository.git, tree))
        now = read_working_tree(repository, leave_out).entries
    except (GitError, OSError):
        return None
    return sorted(path for path in then.keys() | now.keys() if then.get(path) != now.get(path))


def diff_trees(repository: Path, old: str, new: str, *, patch: bool = False) -> str:
    """What changed between the trees of two snapshots: a line for each file, or the whole `patch`.

    Raises:
        GitError: git is not there, or the repository does not hold both.
    """
    check_object_ids(old, new)
    form = ["--patch"] if patch else ["--stat=100"]
    words = ["diff-tree", "-r", "-M", *form, "--no-color", "--no-ext-diff", "--no-textconv", old, new]
    return Git(repository)(*words).decode("utf-8", "replace")


def _take(code_dir: Path, run_id: str, leave_out: Collection[Path]) -> Snapshot:
    repository = Repository.around(code_dir)
    git, ref = repository.git, _ref_of(run_id)
    if git("config", "--type=bool", "--get", OPT_OUT, accept=(0, 1)) == b"false\n":
        raise NoRepositoryError(f"the repository around {code_dir} wants no snapshots ({OPT_OUT}=false)")
    work = read_working_tree(repository, leave_out)
    inside = "" if repository.folder == "." else f"{repository.folder}/"
    if not any(path.startswith(inside) for path in work.entries):
        raise NoRepositoryError(f"{code_dir} is ignored by the repository around it")
    tree = _write_tree(git, work)
    names = f"HEAD\n{ref}\n{ref}^{{tree}}\n".encode()
    answers = git("cat-file", "--batch-check", stdin=names).decode("utf-8", "replace").splitlines()
    head, earlier, earlier_tree = (None if line.endswith(" missing") else line.split(" ")[0] for line in answers)
    commit = earlier
    if commit is None or earlier_tree != tree:
        parents = [word for parent in (head, earlier) if parent for word in ("-p", parent)]
        message = f"Code of labwright run {run_id}\n".encode("utf-8", "replace")
        words = ("commit-tree", "--no-gpg-sign", *parents, "-F", "-", tree)
        commit = git(*words, stdin=message, variables=_AUTHOR).decode().strip()
        git("update-ref", "--no-deref", ref, commit, earlier or repository.empty_id)
    return Snapshot(commit, tree, ref, repository.home, repository.folder, _listed(work.skipped))


def _write_tree(git: Git, work: WorkingTree) -> str:
    """The tree object of these entries, made with an index of our own."""
    with tempfile.TemporaryDirectory(prefix="labwright-") as folder:
        files = [Path(folder, str(number)) for number in range(len(work.contents))]
        for file, content in zip(files, work.contents.values(), strict=True):
            file.write_bytes(content)
        if files:
            git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=os.fsencode("\n".join(map(str, files))))
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        lines = [f"{entry.mode} {entry.oid}\t{path}" for path, entry in work.entries.items()]
        git("update-index", "-z", "--index-info", stdin=joined(lines), variables=index)
        return git("write-tree", "--missing-ok", variables=index).decode().strip()


def _listed(skipped: Mapping[str, str]) -> list[Skipped]:
    listed = [Skipped(path=path, reason=reason) for path, reason in sorted(skipped.items())]
    rest = listed[_MAX_SKIPPED:]
    return listed[:_MAX_SKIPPED] + [Skipped(path="...", reason=f"{len(rest):,} more")] * bool(rest)


def _ref_of(run_id: str) -> str:
    """The reference of a run; what its name may not hold is spelled in hexadecimal."""
    return _REFS + re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"%%%02X" % ord(found[0]), os.fsencode(run_id)).decode()
