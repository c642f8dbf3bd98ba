"""What trying a run came to: check by check, an estimate, and a verdict."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeVar

from labwright.args import UserError

from .estimates import Estimate

T = TypeVar("T")
Status = Literal["ok", "warning", "failed", "not tried"]


@dataclass
class Check:
    """One thing that was tried."""

    name: str
    status: Status = "ok"
    note: str = ""
    seconds: float = 0.0

    def warn(self, note: str) -> None:
        """It works, but there is something to know."""
        self.status, self.note = "warning", note

    def fail(self, note: str) -> None:
        self.status, self.note = "failed", note


@dataclass
class Preflight:
    """What trying everything once came to."""

    experiment_id: str
    checks: list[Check] = field(default_factory=list[Check])
    estimate: Estimate | None = None

    @property
    def problems(self) -> list[str]:
        """Why the run will not end well."""
        return [f"{check.name}: {check.note}" for check in self.checks if check.status == "failed"]

    @property
    def ends_well(self) -> bool:
        return not self.problems

    @property
    def verdict(self) -> str:
        """The answer in a sentence."""
        if not self.ends_well:
            return f"this run will not end well: {'; '.join(self.problems)}"
        is_whole = all(check.status != "not tried" for check in self.checks)
        return "this run will end well" if is_whole else "this run will end well, as far as it was tried"

    def text(self) -> str:
        """A line for each check, the estimate, the verdict."""
        rows = [(each.name, each.status, f"{each.seconds:.2f} s", each.note) for each in self.checks]
        name_width, status_width, time_width = (max(map(len, column)) for column in list(zip(*rows, strict=True))[:3])
        lines = [
            f"  {name:<{name_width}}  {status:<{status_width}}  {seconds:>{time_width}}  {note}".rstrip()
            for name, status, seconds, note in rows
        ]
        whole = [] if self.estimate is None else [f"the whole run: {self.estimate.text()}"]
        return "\n".join([f"preflight of {self.experiment_id}", *lines, *whole, self.verdict])

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        answer = {"ends_well": self.ends_well, "problems": self.problems, "verdict": self.verdict}
        return asdict(self) | answer

    def attempt(self, name: str, act: Callable[[Check], T]) -> T | None:
        """The result of `act`, which may write into its check; None where it fails."""
        check, started = Check(name), time.perf_counter()
        self.checks.append(check)
        try:
            return act(check)
        except Exception as error:
            check.fail(said(error))
            return None
        finally:
            check.seconds = time.perf_counter() - started

    def leave_out(self, name: str, why: str) -> None:
        """Say that something was not tried."""
        self.checks.append(Check(name, "not tried", why))


def said(error: Exception) -> str:
    """What an error says, in one line."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    return first_line if isinstance(error, UserError) else f"{type(error).__name__}: {first_line}".rstrip(": ")
