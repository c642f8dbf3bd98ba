"""From the start of the process to the first step: what it takes (`--profile_startup`), and what it need not take."""

import builtins
import gc
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from labwright.loop import Hook

if TYPE_CHECKING:
    from labwright.args import ExperimentArgs, RunOptions
    from labwright.bare import BareExperiment

BEFORE = "interpreter, arguments"
IMPORTS = "imports"
DATA = "data"
OVERLAP = "overlap check"
MODEL = "model, loaders"
PARTS = "optimizer, other parts"
PREFLIGHT = "preflight, trackers"
RUN_DIRECTORY = "run directory"
FIRST_BATCH = "first batch"
FIRST_STEP = "first step"
"""The parts, in the order of their ends."""


class Spent(NamedTuple):
    """What a part took."""

    cpu_seconds: float
    """Of all threads, and of child processes that have ended."""
    wall_seconds: float


class Startup:
    """The time to the first step and its parts: `mark` says that a part has just ended.

    The clock starts where the process did if `of_process`, else now.
    """

    def __init__(self, *, of_process: bool = False) -> None:
        self.parts: dict[str, Spent] = {}
        cpu, wall = _now()
        self._last = (0.0, wall - _age_of_process()) if of_process else (cpu, wall)
        self._imports = Spent(0.0, 0.0)
        """Within the part that is under way."""

    def mark(self, part: str) -> None:
        """What has passed since the last mark was `part`'s, but for the imports that were told of."""
        (cpu_before, wall_before), self._last = self._last, _now()
        imports, self._imports = self._imports, Spent(0.0, 0.0)
        cpu, wall = (now - before for now, before in zip(self._last, (cpu_before, wall_before), strict=True))
        self._add(part, Spent(cpu - imports.cpu_seconds, wall - imports.wall_seconds))
        self._add(IMPORTS, imports)

    @contextmanager
    def imports_told(self) -> Iterator[None]:
        """A block in which what this thread imports, wherever it does so, counts as imports."""
        original, thread, is_within = builtins.__import__, threading.get_ident(), False

        def told(*given: Any, **named: Any) -> Any:
            nonlocal is_within
            if is_within or threading.get_ident() != thread:
                return original(*given, **named)
            is_within, (cpu, wall) = True, _now()
            try:
                return original(*given, **named)
            finally:
                is_within, (cpu_then, wall_then) = False, _now()
                self._imports = _sum(self._imports, Spent(cpu_then - cpu, wall_then - wall))

        builtins.__import__ = told
        try:
            yield
        finally:
            builtins.__import__ = original

    def _add(self, part: str, spent: Spent) -> None:
        self.parts[part] = _sum(self.parts.get(part, Spent(0.0, 0.0)), spent)

    @property
    def in_all(self) -> Spent:
        """What all parts took together."""
        return _sum(*self.parts.values())

    def to_json(self) -> dict[str, Any]:
        """As run.json keeps it."""
        rounded = {name: _rounded(spent) for name, spent in self.parts.items()}
        return {**_rounded(self.in_all), "parts": rounded}

    def lines(self) -> list[str]:
        """A table."""
        rows = [("start-up", "CPU s", "wall s")]
        for name, spent in {**self.parts, "in all": self.in_all}.items():
            rows.append((f"  {name}", f"{spent.cpu_seconds:.3f}", f"{spent.wall_seconds:.3f}"))
        return [f"{name:<26}{cpu:>8}{wall:>8}" for name, cpu, wall in rows]


@contextmanager
def starting_up(
    experiment: "BareExperiment[ExperimentArgs]", options: "RunOptions", startup: Startup | None
) -> Iterator[None]:
    """A block whose start is listened to, if `--profile_startup` asks for it; `startup` has what was before."""
    experiment.startup = None
    if not options.profile_startup or not experiment.world.is_main:
        yield
        return
    experiment.startup = startup = startup or Startup()
    mark(experiment, IMPORTS)
    with startup.imports_told():
        yield


def await_first_step(experiment: "BareExperiment[ExperimentArgs]") -> None:
    """All is ready; where somebody listens, say at the first step what it took to get there."""
    mark(experiment, RUN_DIRECTORY)
    if experiment.startup is not None:
        experiment.hooks = [*experiment.hooks, FirstStep()]


def mark(experiment: "BareExperiment[ExperimentArgs]", part: str) -> None:
    """A part of the start of `experiment` has ended; nothing where nobody asked what the start takes."""
    if experiment.startup is not None:
        experiment.startup.mark(part)


class FirstStep(Hook["BareExperiment[Any]"]):
    """Says what the start took, once the first training batch has been worked on."""

    def on_batch_start(self, loop: "BareExperiment[Any]") -> None:
        if loop.is_training:
            mark(loop, FIRST_BATCH)

    def on_batch_end(self, loop: "BareExperiment[Any]") -> None:
        if loop.startup is not None and loop.is_training:
            _wait_for_device(loop)
            mark(loop, FIRST_STEP)
            report(loop)


def report(experiment: "BareExperiment[ExperimentArgs]") -> None:
    """Show the parts that have been marked, keep them in run.json, and listen no more."""
    startup, experiment.startup = experiment.startup, None
    if startup is not None:
        for line in startup.lines():
            experiment.recorder.terminal.line(line)
        experiment.recorder.record.update(startup=startup.to_json())


_RESTING: list[bool] = []
"""Not empty while the collector rests."""


@contextmanager
def collector_at_rest() -> Iterator[None]:
    """A block that imports much and ends the process: the garbage collector does not go through what was imported.

    `leave_out_imports` is to be called within, when the imports are done. After a good end what the block has left is
    finalized here, and the rest goes with the process.
    """
    _RESTING.append(True)
    gc.disable()
    try:
        yield
    except BaseException:
        gc.unfreeze()
        raise
    else:
        gc.unfreeze()
        gc.collect()
        gc.freeze()
    finally:
        _RESTING.clear()
        gc.enable()


def leave_out_imports() -> None:
    """Within such a block the collector is on from now, and looks at new objects only."""
    if _RESTING:
        _RESTING.clear()
        gc.freeze()
        gc.enable()


def _wait_for_device(experiment: "BareExperiment[Any]") -> None:
    device = getattr(experiment, "device", None)
    if device is not None and device.type != "cpu":
        import torch

        torch.accelerator.synchronize()


def _sum(*spent: Spent) -> Spent:
    return Spent(sum(each.cpu_seconds for each in spent), sum(each.wall_seconds for each in spent))


def _rounded(spent: Spent) -> dict[str, float]:
    return {name: round(seconds, 4) for name, seconds in spent._asdict().items()}


def _now() -> tuple[float, float]:
    of_children = os.times()[2:4]
    return time.process_time() + sum(of_children), time.perf_counter()


def _age_of_process() -> float:
    """Seconds since the process began, where Linux says so; else what it has computed."""
    try:
        began = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
        return time.clock_gettime(time.CLOCK_BOOTTIME) - began
    except (OSError, AttributeError, ValueError, IndexError):
        return time.process_time()
