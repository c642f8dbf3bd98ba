"""`Tracker`: what the training loop tells, and `GuardedTrackers`: the loop's way of telling it safely."""

import contextlib
import json
from collections import Counter
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
    resumed_step: int | None = None
    """The last step that a resumed run keeps; what it told of later ones will be told again. None: a new run."""
    resumed_epoch: int | None = None
    """The last epoch that a resumed run has finished."""
    resumed: dict[str, Any] | None = None
    """What this tracker's `state` was then; None: a new run, or this tracker did not hear of it before."""

    @property
    def display_name(self) -> str:
        return self.run_name or self.run_dir.name


class Tracker:
    """Override what you want to hear. `start` comes first, `finish` last, each once.

    start -> log_step every few steps, log_epoch after each epoch -> finish

    A run that is resumed begins with `start` again, in another process: `run.resumed` is what `state` gave.
    """

    name: str = "tracker"
    """Its name in warnings; its state is kept under it in run.json."""

    def start(self, run: RunInfo) -> None:
        """The run begins; its directory exists."""

    def state(self) -> dict[str, Any]:
        """What `start` needs to continue here when the run is resumed, in JSON values; asked for after `start`."""
        return {}

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
        names = _numbered(tracker.name for tracker in self.trackers)
        self._names = {id(tracker): name for tracker, name in zip(self.trackers, names, strict=True)}
        self._states: dict[str, dict[str, Any]] = {}

    def start(self, run: RunInfo) -> None:
        """Tell every tracker that the run begins, or goes on where `run.resumed` (from `state`) says."""
        self._states = dict(run.resumed or {})
        safe = replace(run, config=redact(run.config, self.secrets))
        self._tell(lambda tracker: self._start(tracker, safe))
        self._tell(self._take_state)

    def state(self) -> dict[str, Any]:
        """The state of each tracker by its name; of one that was switched off or is not there now, its last."""
        return dict(self._states)

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        self._tell(lambda tracker: tracker.log_step(step, values))

    def log_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self._tell(lambda tracker: tracker.log_epoch(epoch, step, metrics))

    def finish(self, status: Status, summary: Mapping[str, Any], plots: Sequence[Path]) -> None:
        self._tell(lambda tracker: tracker.finish(status, summary, plots), close=False)
        self.trackers.clear()

    def _start(self, tracker: Tracker, run: RunInfo) -> None:
        earlier = self._states.get(self._names[id(tracker)])
        if earlier is None and run.resumed_step is not None:
            self.warn(f"{tracker.name} has no record of this run to continue and begins a new one")
        tracker.start(replace(run, resumed=earlier))

    def _take_state(self, tracker: Tracker) -> None:
        state = tracker.state()
        json.dumps(state)  # fails here, where it can be said whose it is
        if state:
            self._states[self._names[id(tracker)]] = state

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


def _numbered(names: Iterable[str]) -> list[str]:
    """The names, a number added to those that came before."""
    counts = Counter[str]()
    numbered: list[str] = []
    for name in names:
        counts[name] += 1
        numbered.append(name if counts[name] == 1 else f"{name} {counts[name]}")
    return numbered


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
