"""A value that somebody gave, where it comes from, and what may be wrong with it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class Source:
    """Where a value comes from, in the words of an error message."""

    kind: Literal["default", "file", "environment", "flag"]
    label: str = "default"

    def how_to_choose(self, path: str, kind: str) -> str:
        """What to write, here, for the part at `path` to be a `kind`."""
        if self.kind == "file":
            return f"write `kind: {kind}` beside it"
        if self.kind == "environment":
            return f"set {self.label.rpartition('__')[0]}={kind} too"
        return f"add --{path}={kind}"


DEFAULT = Source("default")


@dataclass(frozen=True)
class Given:
    """A value that somebody gave, as Pydantic will see it and as it was written."""

    value: Any
    source: Source
    text: str


class Problem(ValueError):
    """Something wrong with one key; `key` is relative to where the data came from."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class Problems(Problem):
    """Several problems below one key."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("", "; ".join(str(problem) for problem in problems))
        self.problems = [*problems]
