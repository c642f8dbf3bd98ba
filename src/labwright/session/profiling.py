"""`--profile=N`: where the time of a training step goes, and a trace of some steps for chrome://tracing or Perfetto.

    a few steps to warm up  ->  N steps with clocks, for the table  ->  N steps with torch.profiler, for the trace

The two are apart since recording every operation costs more than many of them take. Nothing that is computed changes.
"""

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from labwright.args import ExperimentArgs
from labwright.loop import Hook, NestedLoop
from labwright.runs import disk_errors, write_durably
from labwright.runs.durable import strict_json
from labwright.runs.sizes import count_text

if TYPE_CHECKING:
    from torch.profiler import profile

    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

    from .phases import Clock, Spent

WARM_UP_STEPS = 5
_MOST_OPERATORS = 12


def profiled(experiment: "BareExperiment[ExperimentArgs]") -> AbstractContextManager[None]:
    """A block in which steps are profiled, if `--profile` asks for it; else one that does nothing at all.

    Of several ranks the first is profiled.
    """
    if experiment.options.profile is None or not experiment.world.is_main:
        return nullcontext()
    return _profiled(cast("Experiment[ExperimentArgs]", experiment), experiment.options.profile)


@contextmanager
def _profiled(experiment: "Experiment[ExperimentArgs]", num_steps: int) -> Iterator[None]:
    profiler = Profiler(experiment, num_steps)
    try:
        yield
        profiler.finish()
    finally:
        profiler.remove()


class Profiler:
    """Listens to the training of `experiment`, and writes profile/ once it has heard enough."""

    def __init__(self, experiment: "Experiment[ExperimentArgs]", num_steps: int) -> None:
        from .phases import Taps

        self._experiment = experiment
        self._num_steps = num_steps
        self._stage = "warming up"
        self._is_passing = False
        self._begun = experiment.position.step
        """The step before the first of the stage."""
        self._samples_before = 0
        self._clock: Clock | None = None
        self._report: Report | None = None
        self._trace: profile | None = None
        self._ranges: list[Any] = []
        self._taps = Taps(self._enter, self._leave)
        self._listen()

    def finish(self) -> None:
        """Say what was found where the training was shorter than what was asked for."""
        if self._stage == "measuring":
            self._take_measures()
        if self._report is None:
            self._warn(f"the first {WARM_UP_STEPS} steps are to warm up, and there were no more of them")
        elif self._stage != "done":
            self._tell(self._report)

    def _warn(self, text: str) -> None:
        self._experiment.recorder.terminal.warn(f"--profile: {text}")

    def remove(self) -> None:
        """Leave the experiment as it was."""
        self._stage = "done"
        self._taps.remove()
        if self._trace is not None:
            self._trace.stop()

    # -- what is heard

    def _listen(self) -> None:
        from . import phases

        experiment, taps = self._experiment, self._taps
        batches, new_meter = experiment.batches, experiment.new_meter

        def heard(dataset: Any) -> Any:
            is_heard = experiment.is_training and not experiment.is_aside
            return self._through_pass(iter(batches(dataset))) if is_heard else batches(dataset)

        def metered() -> Any:
            meter = new_meter()
            if experiment.is_training and self._stage != "done":
                taps.tap(meter, "update", phases.METRICS)
            return meter

        taps.replace(experiment, "batches", heard)
        taps.replace(experiment, "new_meter", metered)
        taps.tap(experiment, "prepare_batch", phases.DATA)
        taps.tap(experiment, "train_batch", phases.FORWARD)
        taps.tap(experiment.stepper, "backward", phases.BACKWARD)
        taps.tap(experiment.stepper, "step", phases.OPTIMIZER)
        for name in ("on_batch_start", "on_batch_end"):
            listeners = [(experiment, NestedLoop), *((hook, Hook) for hook in experiment.hooks)]
            for listener, base in listeners:
                if getattr(type(listener), name) is not getattr(base, name):
                    taps.tap(listener, name, phases.HOOKS)

    def _through_pass(self, batches: Iterator[Any]) -> Iterator[Any]:
        """The batches of a training pass; between them one stage ends and another begins."""
        from .phases import DATA, REST

        told = self._taps.told(batches, DATA)
        self._is_passing = True  # what other passes do is not heard
        self._enter(REST)
        try:
            while self._stage != "done":
                self._leave()
                self._change_stage()
                self._enter(REST)
                batch = next(told, None)
                if batch is None:
                    return
                yield batch
        finally:
            self._leave()
            self._is_passing = False
            if self._stage == "tracing":
                self._end_trace()
        yield from batches

    def _enter(self, phase: str) -> None:
        if not self._is_passing:
            return
        if self._clock is not None:
            self._clock.enter(phase)
        elif self._trace is not None:
            from torch.profiler import record_function

            self._ranges.append(record_function(phase))
            self._ranges[-1].__enter__()

    def _leave(self) -> None:
        if not self._is_passing:
            return
        if self._clock is not None:
            self._clock.leave()
        elif self._trace is not None:
            self._ranges.pop().__exit__(None, None, None)

    # -- the stages

    def _change_stage(self) -> None:
        """At a moment when nothing is under way."""
        position = self._experiment.position
        num_steps = position.step - self._begun
        if self._stage == "warming up" and num_steps >= WARM_UP_STEPS:
            from .phases import Clock

            self._clock = Clock(self._experiment.device)
            self._stage, self._begun, self._samples_before = "measuring", position.step, position.num_samples
        elif self._stage == "measuring" and num_steps >= self._num_steps:
            self._take_measures()
            self._begin_trace()
        elif self._stage == "measured":
            self._begin_trace()
        elif self._stage == "tracing" and num_steps >= self._num_steps:
            self._end_trace()

    def _take_measures(self) -> None:
        position, clock = self._experiment.position, self._clock
        num_steps, self._clock = position.step - self._begun, None
        if clock is not None and num_steps:
            self._report = Report(num_steps, position.num_samples - self._samples_before, clock.spent())

    def _begin_trace(self) -> None:
        from torch.profiler import profile

        os.environ.setdefault("KINETO_LOG_LEVEL", "6")  # or it writes lines of its own on stderr
        self._stage, self._begun = "tracing", self._experiment.position.step
        self._trace = profile()
        self._trace.start()

    def _end_trace(self) -> None:
        """The trace, and what its operations took: the report is whole. Where a pass ends too soon, the next traces."""
        trace, report = self._trace, self._report
        assert trace is not None and report is not None
        self._trace = None
        trace.stop()
        report.num_traced_steps = self._experiment.position.step - self._begun
        if not report.num_traced_steps:
            self._stage = "measured"
            return
        report.operators = _operators(trace, report.num_traced_steps, self._experiment.device.type)
        self._write_trace(trace)
        self._tell(report)

    # -- what is left behind

    @property
    def _folder(self) -> Path:
        folder = self._experiment.recorder.directory.path / "profile"
        folder.mkdir(exist_ok=True)
        return folder

    def _write_trace(self, trace: "profile") -> None:
        path = self._folder / "trace.json.gz"
        with disk_errors(path):
            trace.export_chrome_trace(str(path))

    def _tell(self, report: "Report") -> None:
        self._stage = "done"
        text = report.text()
        write_durably(self._folder / "table.txt", f"{text}\n".encode())
        write_durably(self._folder / "profile.json", strict_json(report.to_json(), indent=2))
        for line in text.splitlines():
            self._experiment.recorder.terminal.line(line)
        if not report.num_traced_steps:
            enough = count_text(WARM_UP_STEPS + self._num_steps, "step")
            self._warn(f"no step was traced, since that begins after {enough}, and there were no more of them")
        self._experiment.recorder.terminal.line(f"profile: {self._folder}")


@dataclass
class Operator:
    """What an operation takes by itself, without those that it calls."""

    name: str
    calls: float
    """A step."""
    seconds: float
    """A step; on the accelerator if there is one."""


@dataclass
class Report:
    """Where the time of the steps went."""

    num_steps: int
    num_samples: int
    phases: "dict[str, Spent]"
    """Over all steps."""
    num_traced_steps: int = 0
    operators: list[Operator] = field(default_factory=list[Operator])
    """Those that took the longest, as they were traced."""

    def to_json(self) -> dict[str, Any]:
        """All of it; seconds over all steps for the phases, per step for the operators."""
        return asdict(self)

    def text(self) -> str:
        """Two tables."""
        from .phases import FORWARD, Spent

        spent = {name: each for name, each in self.phases.items() if each.wall}
        if not spent.get("backward"):  # the experiment takes its steps without the stepper
            spent = {"train_batch" if name == FORWARD else name: each for name, each in spent.items()}
        has_device = any(each.device is not None for each in spent.values())
        total = Spent(
            sum(each.wall for each in spent.values()),
            sum(each.cpu for each in spent.values()),
            sum(each.device or 0.0 for each in spent.values()) if has_device else None,
        )
        rows = [["", "ms a step", "share", "CPU ms", *["device ms"] * has_device]]
        for name, each in [*spent.items(), ("a step", total)]:
            device = [] if each.device is None and not has_device else [self._milliseconds(each.device or 0.0)]
            share = f"{100 * each.wall / total.wall:.0f} %"
            rows.append([name, self._milliseconds(each.wall), share, self._milliseconds(each.cpu), *device])
        pace = f"{self.num_samples / total.wall:,.0f} samples/s"
        lines = [f"where the time goes, over {count_text(self.num_steps, 'step')} ({pace}):", *_aligned(rows)]
        if self.operators:
            traced = count_text(self.num_traced_steps, "step")
            where = "device" if has_device else "CPU"
            lines.append(f"operations by the time of their own on the {where}, over {traced} traced:")
            table = [[each.name, f"{each.calls:.3g}", f"{1000 * each.seconds:.3f}"] for each in self.operators]
            lines += _aligned([["", "calls a step", "ms a step"], *table])
        return "\n".join(lines)

    def _milliseconds(self, seconds: float) -> str:
        return f"{1000 * seconds / self.num_steps:.3f}"


def _operators(trace: "profile", num_steps: int, device: str) -> list[Operator]:
    from .phases import PHASES

    found: list[Operator] = []
    for each in trace.key_averages():
        microseconds = each.self_cpu_time_total if device == "cpu" else each.self_device_time_total
        if each.key not in PHASES and microseconds > 0:
            found.append(Operator(each.key, each.count / num_steps, microseconds / num_steps / 1e6))
    return sorted(found, key=lambda each: each.seconds, reverse=True)[:_MOST_OPERATORS]


def _aligned(rows: list[list[str]]) -> list[str]:
    """The first column to the left, the others to the right."""
    first, *widths = (max(map(len, column)) for column in zip(*rows, strict=True))
    return [
        "  ".join([f"  {name:<{first}}", *(f"{cell:>{width}}" for cell, width in zip(cells, widths, strict=True))])
        for name, *cells in rows
    ]
