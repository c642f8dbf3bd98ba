"""How a run was started, so that its command.sh can start it again."""

import sys
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Launch:
    """The program with the flags that args.yaml does not hold, and the words that were typed."""

    program: tuple[str, ...] = (sys.executable, "-m", "labwright")
    cwd: Path = field(default_factory=Path.cwd)
    flags: tuple[str, ...] = ()
    typed: tuple[str, ...] = ()
