"""What Linux says of memory: that of the machine, of the container around the process, and of the process.

And what errors say of it. No torch here.
"""

import os
import re
from contextlib import suppress
from pathlib import Path, PurePosixPath

_STATUS, _MEMORY, _OWN_GROUPS = Path("/proc/self/status"), Path("/proc/meminfo"), Path("/proc/self/cgroup")
_GROUPS = (Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/memory"))
_LIMITS = (("memory.max", "memory.current"), ("memory.limit_in_bytes", "memory.usage_in_bytes"))
_REFUSALS = re.compile(
    r"OutOfMemoryError|can't allocate memory|not enough memory|out of memory|Cannot allocate memory"
    r"|could not (create|execute) a primitive\s*$",  # what oneDNN says where there is no room for its code
    re.IGNORECASE,
)
_CACHED = re.compile(r"^(?:total_)?inactive_file (\d+)$", flags=re.MULTILINE)
"""Files that the system keeps for as long as nobody needs the memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there was no memory, torch's for the CPU and for accelerators included."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and _REFUSALS.search(f"{type(error).__name__}: {error}") is not None


def free_memory() -> int | None:
    """What a process may still take, in bytes: of the machine, and of the container or job around it.

    None: nobody says.
    """
    found: list[int] = []
    if _MEMORY.is_file():
        found.append(_kilobytes(_MEMORY, "MemAvailable"))
    elif "SC_AVPHYS_PAGES" in os.sysconf_names:
        found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for folder in [root / path for path in _group_paths() for root in _GROUPS]:
        for most, used in _LIMITS:
            with suppress(OSError, ValueError):  # "max" is no number
                limit, current = int((folder / most).read_text()), int((folder / used).read_text())
                cached = _CACHED.findall((folder / "memory.stat").read_text())
                found.append(limit - current + max(map(int, cached), default=0))
    return min(found, default=None)


def _group_paths() -> set[PurePosixPath]:
    """That of the control group which the process is in, and of each around it, up to the container's."""
    found = {PurePosixPath()}
    with suppress(OSError):
        for line in _OWN_GROUPS.read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers in ("", "memory"):
                own = PurePosixPath(path.lstrip("/"))
                found.update((own, *own.parents))
    return found


def process_memory() -> int | None:
    """What the process takes now, in bytes; None: nobody says."""
    return _of_process("VmRSS")


def process_peak() -> int | None:
    """The most that the process has taken so far, in bytes; None: nobody says."""
    return _of_process("VmHWM")


def process_data() -> int | None:
    """What the process has asked for, used or not, in bytes; None: nobody says."""
    return _of_process("VmData")


def _of_process(name: str) -> int | None:
    return _kilobytes(_STATUS, name) if _STATUS.is_file() else None


def _kilobytes(path: Path, name: str) -> int:
    """A line `name: 123 kB` of a file of the system, in bytes; 0 if there is none."""
    match = re.search(rf"^{name}:\s+(\d+) kB$", path.read_text(), flags=re.MULTILINE)
    return 0 if match is None else int(match[1]) * 1024
