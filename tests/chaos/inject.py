"""Faults at a file operation of one's choice, in the process that installs this before it opens its first file.

Counted are the operations that change something below `root`: open (for writing), write, truncate, mkdir, rename,
unlink, rmdir, and fsync of files and directories. Python's own functions are wrapped; an audit hook sees to it that a
file opened for writing behind their back counts too. Faults:

    count      nothing; with `trace`, writes down each operation
    kill       SIGKILL before the operation
    after      SIGKILL right after it
    torn       SIGKILL when half of a write is done (before the operation if it is none)
    signal     the signal `signal` before the operation
    full       from the operation on, whatever needs space fails with ENOSPC; a write still gets half of its bytes out,
               and the room that was taken for run.json before can be used
    broken     from the operation on, everything fails with EIO
    power      power loss before the operation: what was not synced is lost in the way `loss` says, then SIGKILL
"""

import atexit
import builtins
import errno
import io
import json
import os
import random
import re
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, cast

Mode = Literal["count", "kill", "after", "torn", "signal", "full", "broken", "power"]
Loss = Literal["everything", "contents", "zeroed", "renames", "some"]
"""What a power loss takes of what was not synced:

everything   the content of files, and every change of names
contents     the content of files; all names are as they were last
zeroed       the same, but files keep their length: what was added is zeros
renames      files and their new names; deletions have come through
some         a random tail of the changes of names, and the content of random files
"""
STRUCK = "-- the fault struck here"
"""Stands in the trace before the operation that was hit."""
NEEDS_SPACE = {"open", "write", "mkdir", "rename", "fsync"}


@dataclass(frozen=True)
class Fault:
    """What happens to which operation: the `at`-th (from 1) of those whose description matches `match`."""

    root: str
    mode: Mode = "count"
    at: int = 0
    match: str = ""
    signal: str = "SIGTERM"
    loss: Loss = "everything"
    seed: int = 0
    trace: str | None = None

    def to_json(self) -> str:
        return json.dumps(asdict(self))


def install(text: str) -> None:
    """Install the fault that `Fault.to_json` described in this process."""
    _Injector(Fault(**json.loads(text))).install()


@dataclass
class _Folder:
    """The names in a directory: as processes see them, and as the disk has them."""

    live: "dict[str, _File]" = field(default_factory=dict[str, "_File"])
    durable: "dict[str, _File]" = field(default_factory=dict[str, "_File"])
    pending: "list[tuple[str | None, str | None, _File]]" = field(
        default_factory=list[tuple[str | None, str | None, "_File"]]
    )
    """Changes of names since they were synced: what was called so, what it is called now, and what it is."""


@dataclass(eq=False)
class _File:
    """A file or a directory of the tree, whatever its name is at the moment."""

    folder: _Folder | None = None
    is_dirty: bool = False
    durable: bytes | None = None
    """What the disk has of a file, once that differs from what can be read."""


class _Disk:
    """What would be left of a tree if the power went now."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.top = self._found(root)

    def _found(self, path: Path) -> _Folder:
        """A directory as it is when this begins: all of it durable."""
        folder = _Folder()
        for entry in os.scandir(path):
            is_folder = entry.is_dir(follow_symlinks=False)
            folder.live[entry.name] = _File(self._found(path / entry.name) if is_folder else None)
        folder.durable = dict(folder.live)
        return folder

    def _folder(self, path: Path) -> _Folder | None:
        folder: _Folder | None = self.top
        for name in path.relative_to(self.root).parts:
            file = None if folder is None else folder.live.get(name)
            folder = None if file is None else file.folder
        return folder

    def _siblings(self, path: Path) -> dict[str, _File]:
        folder = None if path == self.root else self._folder(path.parent)
        return {} if folder is None else folder.live

    def before(self, kind: str, path: Path, target: Path | None) -> None:
        """Keep what an operation is about to change or delete."""
        changed = {"open": path, "write": path, "truncate": path, "unlink": path, "rename": target}.get(kind)
        file = None if changed is None else self._siblings(changed).get(changed.name)
        if changed is not None and file is not None and file.folder is None and file.durable is None:
            file.durable = changed.read_bytes()

    def after(self, kind: str, path: Path, target: Path | None) -> None:
        """Take note of an operation that was done."""
        siblings = self._siblings(path)
        file = siblings.get(path.name)
        if kind == "fsync":
            self._sync(path, file)
        elif kind == "open" and file is None:
            self._rename(path, None, path.name, _File(is_dirty=True, durable=b""))
        elif kind == "mkdir":
            self._rename(path, None, path.name, _File(_Folder()))
        elif file is None:
            return
        elif kind in ("unlink", "rmdir"):
            self._rename(path, path.name, None, file)
        elif kind == "rename" and target is not None:
            # Of two directories, the old one keeps the name until it is synced.
            self._rename(target, path.name if path.parent == target.parent else None, target.name, file)
            siblings.pop(path.name, None)
        elif kind in ("write", "truncate"):
            file.is_dirty = True

    def _sync(self, path: Path, file: _File | None) -> None:
        folder = self._folder(path)
        if folder is not None:
            folder.durable, folder.pending = dict(folder.live), []
        elif file is not None:
            file.durable, file.is_dirty = path.read_bytes(), False

    def _rename(self, path: Path, old: str | None, new: str | None, file: _File) -> None:
        """In the directory of `path`, what was called `old` is now called `new`."""
        folder = self._folder(path.parent)
        if folder is not None:
            folder.pending.append((old, new, file))
            _apply(folder.live, old, new, file)

    def cut(self, loss: Loss, seed: int) -> None:
        """Replace the tree by what is left of it."""
        chance = random.Random(seed)
        contents: dict[_File, bytes] = {}
        self._read(self.root, self.top, contents, loss, chance)
        left = self.root.with_name(f"{self.root.name}.left")
        _write(self.top, left, contents, loss, chance)
        shutil.rmtree(self.root)
        left.rename(self.root)

    def _read(
        self, path: Path, folder: _Folder, contents: dict[_File, bytes], loss: Loss, chance: random.Random
    ) -> None:
        for name, file in folder.live.items():
            if file.folder is not None:
                self._read(path / name, file.folder, contents, loss, chance)
            else:
                contents[file] = _left_of(path / name, file, loss, chance)


def _apply(names: dict[str, _File], old: str | None, new: str | None, file: _File) -> None:
    if old is not None:
        names.pop(old, None)
    if new is not None:
        names[new] = file


def _left_of(path: Path, file: _File, loss: Loss, chance: random.Random) -> bytes:
    """What a power loss leaves of a file's content."""
    if not file.is_dirty or loss == "renames" or (loss == "some" and chance.random() < 0.5):
        return path.read_bytes()
    durable = file.durable or b""
    return durable.ljust(path.stat().st_size, b"\0") if loss == "zeroed" else durable


def _names(folder: _Folder, loss: Loss, chance: random.Random) -> dict[str, _File]:
    """The names that a power loss leaves in a directory."""
    if loss in ("contents", "zeroed"):
        return folder.live
    names, pending = dict(folder.durable), folder.pending
    if loss == "everything":
        return names
    if loss == "some":
        pending = pending[: chance.randint(0, len(pending))]
    for old, new, file in pending:
        if loss == "some" or new is None:
            _apply(names, old, new, file)
    return names


def _write(folder: _Folder, path: Path, contents: dict[_File, bytes], loss: Loss, chance: random.Random) -> None:
    path.mkdir()
    for name, file in _names(folder, loss, chance).items():
        if file.folder is not None:
            _write(file.folder, path / name, contents, loss, chance)
        else:
            (path / name).write_bytes(contents.get(file, file.durable or b""))


class _Injector:
    """Counts the operations and does what the fault says. Threads take turns, an operation each."""

    def __init__(self, fault: Fault) -> None:
        self.fault = fault
        self.root = os.path.realpath(fault.root)
        self.pid = os.getpid()
        self.count = 0
        self.has_struck = False
        self.rooms = set[str]()
        self.turn = threading.RLock()
        self.of_thread = threading.local()
        self.match = re.compile(fault.match)
        self.disk = _Disk(Path(self.root)) if fault.mode == "power" else None
        self.trace = None
        if fault.trace is not None:
            self.trace = os.open(fault.trace, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def install(self) -> None:
        self._original_open = io.open
        for name in ("replace", "rename"):
            setattr(os, name, self._wrapped(getattr(os, name), "rename", has_target=True))
        for name in ("unlink", "remove"):
            setattr(os, name, self._wrapped(getattr(os, name), "unlink"))
        for kind in ("mkdir", "rmdir", "truncate"):
            setattr(os, kind, self._wrapped(getattr(os, kind), kind))
        for name in ("fsync", "fdatasync"):
            setattr(os, name, self._wrapped(getattr(os, name), "fsync"))
        os.ftruncate = self._wrapped(os.ftruncate, "truncate")
        os.open = self._opening(os.open)
        os.write = self._writing(os.write)
        builtins.open = io.open = cast(Any, self._open)
        sys.addaudithook(self._audit)
        if self.fault.mode == "power":
            atexit.register(self._strike)

    @property
    def is_inside(self) -> bool:
        """Whether this thread is about an operation already."""
        return getattr(self.of_thread, "is_inside", False)

    @is_inside.setter
    def is_inside(self, value: bool) -> None:
        self.of_thread.is_inside = value

    # -- what is told of an operation

    def _below_root(self, path: object) -> str | None:
        """The path, if it is below the root; that of an open file where a descriptor is given."""
        if self.is_inside or os.getpid() != self.pid:
            return None
        if isinstance(path, int):
            try:
                path = os.readlink(f"/proc/self/fd/{path}")
            except OSError:
                return None
        if not isinstance(path, str | bytes | os.PathLike):
            return None
        # Links in the name itself stay: it is they that are renamed and deleted.
        folder, name = os.path.split(os.path.abspath(os.fsdecode(path)))
        whole = os.path.join(os.path.realpath(folder), name)
        is_below = whole.startswith(self.root + os.sep) or whole == self.root
        return whole if is_below and not whole.endswith(" (deleted)") else None

    def _operation(
        self,
        kind: str,
        path: str,
        do: Callable[[], Any],
        target: str | None = None,
        half: Callable[[], Any] | None = None,
    ) -> Any:
        """Count the operation `do`, and do it unless a fault comes first; `half` does half of it."""
        with self.turn:
            self.is_inside = True
            try:
                return self._counted_operation(kind, path, do, target, half)
            finally:
                self.is_inside = False

    def _counted_operation(
        self, kind: str, path: str, do: Callable[[], Any], target: str | None, half: Callable[[], Any] | None
    ) -> Any:
        is_hit = self._count(kind, path)
        self._before(kind, path, target, is_hit, half)
        if self.has_struck and self.fault.mode == "full" and is_hit and half is not None:
            return half()
        result = do()
        if self.disk is not None:
            self.disk.after(kind, Path(path), None if target is None else Path(target))
        if is_hit and self.fault.mode == "after":
            os.kill(self.pid, signal.SIGKILL)
        return result

    def _count(self, kind: str, path: str) -> bool:
        what = f"{kind} {os.path.relpath(path, self.root)}"
        self._note(what)
        if not self.match.search(what):
            return False
        self.count += 1
        return self.count == self.fault.at

    def _note(self, line: str) -> None:
        if self.trace is not None:
            os.write(self.trace, f"{line}\n".encode())

    def _before(self, kind: str, path: str, target: str | None, is_hit: bool, half: Callable[[], Any] | None) -> None:
        fault = self.fault
        if fault.mode == "full" and self.has_struck and kind in NEEDS_SPACE and path not in self.rooms:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        if fault.mode == "broken" and self.has_struck:
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        if is_hit:
            self._hit(kind, path, half)
        if self.disk is not None:
            self.disk.before(kind, Path(path), None if target is None else Path(target))

    def _hit(self, kind: str, path: str, half: Callable[[], Any] | None) -> None:
        self.has_struck = True
        self._note(STRUCK)
        self.rooms = {str(room) for room in Path(self.root).rglob(".run.json.*.tmp")} - {path}
        match self.fault.mode:
            case "torn" if half is not None:
                half()
                os.kill(self.pid, signal.SIGKILL)
            case "kill" | "torn":
                os.kill(self.pid, signal.SIGKILL)
            case "signal":
                self.is_inside = False  # what the signal's handler does is operations too
                os.kill(self.pid, getattr(signal, self.fault.signal))
                self.is_inside = True
            case "power":
                self._strike()
            case "full" if kind in NEEDS_SPACE and half is None:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
            case "broken":
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)
            case _:
                pass

    def _strike(self) -> None:
        """The power goes."""
        if os.getpid() == self.pid and self.disk is not None:
            self.is_inside = True
            self._note(STRUCK)
            self.disk.cut(self.fault.loss, self.fault.seed)
            os.kill(self.pid, signal.SIGKILL)

    # -- the wrappers

    def _wrapped(self, function: Callable[..., Any], kind: str, has_target: bool = False) -> Callable[..., Any]:
        def wrapper(path: Any, *args: Any, **options: Any) -> Any:
            whole = self._below_root(path)
            if whole is None or options.get("dir_fd") is not None:
                return function(path, *args, **options)
            target = self._below_root(args[0]) if has_target else None
            return self._operation(kind, whole, lambda: function(path, *args, **options), target)

        return wrapper

    def _opening(self, function: Callable[..., int]) -> Callable[..., int]:
        def wrapper(path: Any, flags: int, *args: Any, **options: Any) -> int:
            whole = self._below_root(path) if _writes(flags) else None
            if whole is None or os.path.isdir(whole):  # a nameless file in a directory is nobody's
                return function(path, flags, *args, **options)
            return self._operation("open", whole, lambda: function(path, flags, *args, **options))

        return wrapper

    def _writing(self, function: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
        def wrapper(descriptor: int, data: Any) -> int:
            whole = self._below_root(descriptor)
            if whole is None:
                return function(descriptor, data)
            view = memoryview(data).cast("B")
            half = view[: max(1, len(view) // 2)]
            return self._operation(
                "write", whole, lambda: function(descriptor, view), half=lambda: function(descriptor, half)
            )

        return wrapper

    def _open(
        self,
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        whole = self._below_root(file) if set(mode) & set("wax+") and not isinstance(file, int) else None
        if whole is None or os.path.isdir(whole):
            return self._original_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw_mode = mode.replace("b", "").replace("t", "")
        raw = self._operation("open", whole, lambda: _Raw(self, file, raw_mode, opener))
        if buffering == 0:
            return raw
        size = buffering if buffering > 1 else io.DEFAULT_BUFFER_SIZE
        buffer = io.BufferedRandom(raw, size) if "+" in mode else io.BufferedWriter(raw, size)
        if "b" in mode:
            return buffer
        return io.TextIOWrapper(buffer, encoding, errors, newline, line_buffering=buffering == 1)

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        """Whoever opens a file for writing in another way than through Python's functions is counted here."""
        if event == "open" and isinstance(args[2], int) and _writes(args[2]):
            whole = self._below_root(args[0])
            if whole is not None and not os.path.isdir(whole):
                self._operation("open", whole, lambda: None)


class _Raw(io.FileIO):
    """An open file whose writes are counted."""

    def __init__(self, injector: _Injector, file: Any, mode: str, opener: Any) -> None:
        super().__init__(file, mode, opener=opener)
        self._injector = injector

    def write(self, data: Any, /) -> int:
        view = memoryview(data).cast("B")
        return self._counted("write", lambda: io.FileIO.write(self, view), lambda: self._write_half(view))

    def truncate(self, size: int | None = None, /) -> int:
        return self._counted("truncate", lambda: io.FileIO.truncate(self, size))

    def _write_half(self, view: memoryview) -> int:
        return io.FileIO.write(self, view[: max(1, len(view) // 2)])

    def _counted(self, kind: str, do: Callable[[], Any], half: Callable[[], Any] | None = None) -> Any:
        whole = self._injector._below_root(self.fileno())
        return do() if whole is None else self._injector._operation(kind, whole, do, half=half)


def _writes(flags: int) -> bool:
    return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC))
