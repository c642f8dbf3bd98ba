"""`Tracker`: what the training loop tells, and `GuardedTrackers`: the loop's way of telling it safely."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from labwright.args import UserError
from labwright.runs import redact, redact_text

Status = Literal["finished", "failed", "interrupted"]


@dataclass(frozen=True, kw_only=True)
class RunInfo:
    """What a tracker is told about a run when it starts."""

    experiment_id: str
    run_dir: Path
    run_name: str | None = None
    tags: tuple[str, ...] = ()
    config: dict[str, Any] = field(default_factory=dict[str, Any])
    """The run's arguments as JSON values, without secrets."""

    @property
    def display_name(self) -> str:
        return self.run_name or self.run_dir.name


class Tracker:
    """Override what you want to hear. `start` comes first, `finish` last, each once.

    start -> log_step every few steps, log_epoch after each epoch -> finish
    """

    name: str = "tracker"

    def start(self, run: RunInfo) -> None:
        """The run begins; its directory exists."""

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        """Values of one optimizer step: `loss`, `learning_rate`, ..."""

    def log_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        """Metrics of one epoch under their full names (`val/loss`); `step` is the last optimizer step taken."""

    def finish(self, status: Status, summary: Mapping[str, Any], plots: Sequence[Path]) -> None:
        """The run is over: its result (best epoch, test metrics), and the pictures in its directory."""


class GuardedTrackers(Tracker):
    """Several trackers as one that never stops a run: one that fails is closed and switched off with one warning.

    `secrets` are masked in the config they are told and in the warnings.
    """

    name = "trackers"

    def __init__(
        self, trackers: Iterable[Tracker], warn: Callable[[str], None], *, secrets: Iterable[str] = ()
    ) -> None:
        self.trackers = list(trackers)
        self.warn = warn
        self.secrets = tuple(secrets)

    def start(self, run: RunInfo) -> None:
        safe = replace(run, config=redact(run.config, self.secrets))
        self._tell(lambda tracker: tracker.start(safe))

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        self._tell(lambda tracker: tracker.log_step(step, values))

    def log_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self._tell(lambda tracker: tracker.log_epoch(epoch, step, metrics))

    def finish(self, status: Status, summary: Mapping[str, Any], plots: Sequence[Path]) -> None:
        self._tell(lambda tracker: tracker.finish(status, summary, plots), close=False)
        self.trackers.clear()

    def _tell(self, call: Callable[[Tracker], None], *, close: bool = True) -> None:
        for tracker in list(self.trackers):
            try:
                call(tracker)
            except Exception as error:
                self.trackers.remove(tracker)
                line = f"{tracker.name} failed and is switched off: {in_one_line(error)}"
                self.warn(redact_text(line, self.secrets))
                if close:
                    with contextlib.suppress(Exception):
                        tracker.finish("failed", {}, [])


def in_one_line(error: BaseException) -> str:
    """`ConnectionError: the server said no`, whatever the length of the message."""
    first_line = next(iter(str(error).strip().splitlines()), "")
    return f"{type(error).__name__}: {first_line}" if first_line else type(error).__name__


def require_package(package: str, install: str) -> None:
    """Raise a UserError that says how to install `package`, unless it is there. Does not import it."""
    try:
        spec = find_spec(package)
    except ImportError:
        spec = None
    # A folder that only bears the package's name (`./wandb`, where W&B keeps its runs) has no origin.
    if spec is None or spec.origin is None:
        raise UserError(f"{package} is not installed; it comes with: {install}")


def flatten(values: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """Nested dicts as one, keys joined by `separator`; an empty dict stays as a value."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= {f"{key}{separator}{inner}": leaf for inner, leaf in flatten(value, separator).items()}
        else:
            flat[str(key)] = value
    return flat
