"""The exact code of a run: a commit under `refs/labwright/<run id>` that holds the working tree, byte for byte.

    tracked files            as they are now: changed, deleted, executable, links, submodules by their commit
    untracked, not ignored   too; but no data (by size, and datasets in shards), secrets (by name, and settings with a
                             key), other repositories, environments, run directories
    the user's               branch, index, stash, files and configuration are only read

Bytes are stored as they lie in the working tree: no clean filter (LFS), no line-ending conversion is applied, neither
then nor when they are restored. What is left out stands in `skipped`. A tracked file that is too large or may hold a
secret stays as the user committed it. The reference protects the commit from git's garbage collection.
"""

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from fnmatch import translate
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self, TypedDict, cast

from ..provenance import git_state
from .git import Git, GitError, NoRepositoryError

MAX_FILE_BYTES = 5 * 2**20
MAX_TOTAL_BYTES = 100 * 2**20
MAX_FILES = 5000
"""What is taken at most of files that git does not hold already: data is no code."""

OPT_OUT = "labwright.snapshot"
"""The git setting by which a repository, or a user, wants no snapshots: `git config labwright.snapshot false`."""

_REFS = "refs/labwright/"
_MAX_SKIPPED = 200
_SECRET_NAMES = (
    *(".env*", "*.pem", "*.key", "*.p12", "*.pfx", "*.keystore", "*.kdbx", "id_rsa*", "id_dsa*", "id_ecdsa*"),
    *("id_ed25519*", ".netrc", "_netrc", ".pypirc", ".npmrc", ".htpasswd", ".git-credentials", "credentials*"),
    *(".aws", ".ssh", ".gnupg", ".dockercfg", "kaggle.json", "secret.*ml", "secrets.*ml", "secret*.json"),
)
_SECRET_NAME = re.compile("|".join(map(translate, _SECRET_NAMES)), re.IGNORECASE)
_SETTINGS = (".yaml", ".yml", ".json", ".toml", ".ini", ".cfg")
_SECRET_SETTING = re.compile(
    rb"""(?:(?:api|access|auth|private|secret)[_-]?(?:key|token)|password|passphrase)["']?[ \t]*[:=][ \t]*"""
    rb"""["']?[^\s"'#,{}\[\]]{8,}""",
    re.IGNORECASE,
)
"""A key with a value long enough to be one, as config.yaml and presets may hold it."""
_CONVERTING = frozenset({"text", "crlf", "eol", "filter", "ident", "working-tree-encoding"})
"""The git attributes with which a file in the working tree may differ from the one in the repository."""
_MANIFEST, _FORMAT, _FIRST_BYTES = "dataset.json", re.compile(rb'"format"\s*:\s*"labwright-shards"'), 4096
LINK, SUBMODULE, FILE, PROGRAM = "120000", "160000", "100644", "100755"
"""What git calls them."""
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
        if not (_is_object_id(commit) and _is_object_id(tree)) or not all(
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


def list_snapshots(repository: Path) -> dict[str, str]:
    """The commit of every snapshot in a repository, by its run's id; none without git or a repository."""
    try:
        answer = Git(repository)("for-each-ref", "--format=%(objectname) %(refname)", _REFS).decode("utf-8", "replace")
    except GitError:
        return {}
    found = (line.split(" ", 1) for line in answer.splitlines())
    return {_run_id_of(ref): commit for commit, ref in found}


def code_differs(code_dir: Path, tree: str, *, leave_out: Collection[Path] = ()) -> list[str] | None:
    """The paths at which the working tree around `code_dir` differs from a snapshot's tree; nothing is written.

    None: it cannot be told (no git, no repository, or not the one that holds the tree).
    """
    try:
        repository = Repository.around(code_dir)
        then = dict(entries_of(repository.git, tree))
        now = _read_working_tree(repository, leave_out).entries
    except (GitError, OSError):
        return None
    return sorted(path for path in then.keys() | now.keys() if then.get(path) != now.get(path))


def diff_trees(repository: Path, old: str, new: str, *, patch: bool = False) -> str:
    """What changed between the trees of two snapshots: a line for each file, or the whole `patch`.

    Raises:
        GitError: git is not there, or the repository does not hold both.
    """
    _check_object_ids(old, new)
    form = ["--patch"] if patch else ["--stat=100"]
    words = ["diff-tree", "-r", "-M", *form, "--no-color", "--no-ext-diff", "--no-textconv", old, new]
    return Git(repository)(*words).decode("utf-8", "replace")


class Entry(NamedTuple):
    """What a path of a tree is: git's mode, and the id of its content."""

    mode: str
    oid: str


def entries_of(git: Git, tree: str) -> Iterator[tuple[str, Entry]]:
    """The files, links and submodules of a tree or commit, by their path within the repository."""
    _check_object_ids(tree)
    for line in _records(git("ls-tree", "-r", "-z", "--full-tree", tree)):
        about, _, path = line.partition("\t")
        mode, _, oid = about.split(" ")
        yield path, Entry(mode, oid)


def object_id(content: bytes, like: str) -> str:
    """The id that git gives a file of this content, in the repository that has an id `like` this one."""
    algorithm = hashlib.sha1 if len(like) == 40 else hashlib.sha256
    return algorithm(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


# -- reading the working tree


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


@dataclass
class _WorkingTree:
    """The files of a working tree, as a snapshot of it would hold them."""

    entries: dict[str, Entry] = field(default_factory=dict[str, Entry])
    contents: dict[str, bytes] = field(default_factory=dict[str, bytes])
    """By id, those that the user's index does not name."""
    skipped: dict[str, str] = field(default_factory=dict[str, str])


def _read_working_tree(repository: Repository, leave_out: Collection[Path]) -> _WorkingTree:
    """Every file that is code, by git's own cache of what has not changed; the others are read."""
    git = repository.git
    tree = _WorkingTree()
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
    for line in _records(git("ls-files", "-z", "-v", "--stage")):
        about, _, path = line.partition("\t")
        tag, mode, oid, stage = about.split(" ")
        if stage == "0":
            entries[path] = Entry(mode, oid)
        if stage != "0" or tag.islower():
            unsure.add(path)
    return entries, unsure


def _changes(git: Git) -> Iterator[tuple[str, str]]:
    """The tracked paths that may not be as the index has them, with the letter of what happened to them."""
    words = _records(git("diff-files", "-z", "--raw", "--no-renames", "--ignore-submodules=all"))
    for about in words:
        yield next(words), about.rpartition(" ")[2]


def _converted(git: Git, paths: Collection[str]) -> set[str]:
    """Those whose bytes in the working tree need not be those that git holds."""
    if not paths:
        return set()
    if git("config", "--get", "core.autocrlf", accept=(0, 1)).strip().lower() in (b"true", b"input"):
        return set(paths)
    words = _records(git("check-attr", "-z", "-a", "--stdin", stdin=_joined(paths)))
    return {path for path, name, value in zip(words, words, words, strict=True) if _converts(name, value)}


def _converts(name: str, value: str) -> bool:
    return name in _CONVERTING and value != "unset"


def _take_submodules(repository: Repository, tree: _WorkingTree) -> None:
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


def _keep_committed_secrets(git: Git, tree: _WorkingTree, unsure: set[str], committed: Mapping[str, Entry]) -> None:
    """What may be a secret is kept as the user committed it, or not at all."""
    secrets = [path for path in committed.keys() | unsure if _secret_part(path, committed)]
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


def _secret_part(path: str, paths: Collection[str]) -> str | None:
    """The file or folder on `path` whose name says that it may hold a secret; None: there is none.

    `paths` are all there are: a config.yaml beside a pyproject.toml may hold a key.
    """
    parts = path.split("/")
    for number, part in enumerate(parts, start=1):
        if _SECRET_NAME.fullmatch(part):
            return "/".join(parts[:number])
    is_machine_config = parts[-1] == "config.yaml" and "/".join([*parts[:-1], "pyproject.toml"]) in paths
    return path if is_machine_config else None


def _untracked_code(repository: Repository, tree: _WorkingTree, leave_out: Collection[Path]) -> set[str]:
    """The untracked files that are not ignored, without secrets and what programs made."""
    paths = list(_records(repository.git("ls-files", "-z", "--others", "--exclude-standard")))
    every = tree.entries.keys() | set(paths)
    given = {os.path.relpath(folder.resolve(), repository.top) for folder in leave_out}
    left_out = given - {"."} | _made_folders(repository.top, every)
    found: set[str] = set()
    for path in paths:
        secret = _secret_part(path, every)
        if path.endswith("/"):
            tree.skipped[path] = "a repository of its own"
        elif secret is not None:
            tree.skipped[secret] = "may hold a secret"
        elif left_out.isdisjoint(map(str, PurePosixPath(path).parents)):
            found.add(path)
    return found


def _made_folders(top: str, paths: Collection[str]) -> set[str]:
    """The folders among `paths` that programs made: environments, bytecode, run directories, datasets in shards."""
    made: set[str] = set()
    for path in paths:
        folder, _, name = path.rpartition("/")
        is_run = name == "run.json" and f"{folder}/args.yaml" in paths
        is_made = name == "pyvenv.cfg" or is_run or folder.endswith("__pycache__")
        if folder and (is_made or (name == _MANIFEST and _is_of_shards(os.path.join(top, path)))):
            made.add(folder)
    return made


def _is_of_shards(path: str) -> bool:
    """Whether a file is the manifest of a dataset in shards, which says so at its beginning."""
    try:
        if not stat.S_ISREG(os.lstat(path).st_mode):
            return False
        with open(path, "rb") as file:
            return _FORMAT.search(file.read(_FIRST_BYTES)) is not None
    except OSError:
        return False


def _read_files(repository: Repository, tree: _WorkingTree, paths: Iterable[str]) -> None:
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
        if content is not None and path.endswith(_SETTINGS) and _SECRET_SETTING.search(content):
            content, reason = None, "may hold a secret"
        if content is None:
            tree.skipped[path] = f"{reason}{'; kept as committed' * (path in tree.entries)}"
            continue
        oid = object_id(content, repository.empty_id)
        tree.entries[path] = Entry(_mode(about), oid)
        if oid not in known:
            tree.contents[oid] = content
            num_files, num_bytes = num_files + 1, num_bytes + size


def _by_importance(top: str, tree: _WorkingTree, paths: Iterable[str]) -> list[tuple[int, str, os.stat_result]]:
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


# -- writing the commit


def _take(code_dir: Path, run_id: str, leave_out: Collection[Path]) -> Snapshot:
    repository = Repository.around(code_dir)
    git, ref = repository.git, _ref_of(run_id)
    if git("config", "--type=bool", "--get", OPT_OUT, accept=(0, 1)) == b"false\n":
        raise NoRepositoryError(f"the repository around {code_dir} wants no snapshots ({OPT_OUT}=false)")
    work = _read_working_tree(repository, leave_out)
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


def _write_tree(git: Git, work: _WorkingTree) -> str:
    """The tree object of these entries, made with an index of our own."""
    with tempfile.TemporaryDirectory(prefix="labwright-") as folder:
        files = [Path(folder, str(number)) for number in range(len(work.contents))]
        for file, content in zip(files, work.contents.values(), strict=True):
            file.write_bytes(content)
        if files:
            git("hash-object", "-w", "--no-filters", "--stdin-paths", stdin=os.fsencode("\n".join(map(str, files))))
        index = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        lines = [f"{entry.mode} {entry.oid}\t{path}" for path, entry in work.entries.items()]
        git("update-index", "-z", "--index-info", stdin=_joined(lines), variables=index)
        return git("write-tree", "--missing-ok", variables=index).decode().strip()


def _listed(skipped: Mapping[str, str]) -> list[Skipped]:
    listed = [Skipped(path=path, reason=reason) for path, reason in sorted(skipped.items())]
    rest = listed[_MAX_SKIPPED:]
    return listed[:_MAX_SKIPPED] + [Skipped(path="...", reason=f"{len(rest):,} more")] * bool(rest)


def _ref_of(run_id: str) -> str:
    """The reference of a run; what its name may not hold is spelled in hexadecimal."""
    return _REFS + re.sub(rb"[^A-Za-z0-9_-]", lambda found: b"%%%02X" % ord(found[0]), os.fsencode(run_id)).decode()


def _run_id_of(ref: str) -> str:
    encoded = ref.removeprefix(_REFS).encode()
    return os.fsdecode(re.sub(rb"%([0-9A-F]{2})", lambda found: bytes([int(found[1], 16)]), encoded))


def _records(answer: bytes) -> Iterator[str]:
    """The parts of what git prints with -z; file names keep bytes that are no text."""
    return iter(os.fsdecode(answer).split("\0")[:-1])


def _joined(parts: Iterable[str]) -> bytes:
    return os.fsencode("".join(f"{part}\0" for part in parts))


def _is_object_id(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", text) is not None


def _check_object_ids(*texts: str) -> None:
    """Nothing else reaches git's command line, where it could be a flag."""
    for text in texts:
        if not _is_object_id(text):
            raise GitError(f"{text!r} is no id of a git object")
