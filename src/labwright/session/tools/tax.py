"""What a training loop costs beyond its parts: the bare loop that one would write by hand, and what each extra adds.

All take the same steps from the same weights, in turns, in an order that changes from round to round; what is compared
is compared within a round.
"""

import copy
import os
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from statistics import median, quantiles
from types import MethodType
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils import clip_grad_norm_, clip_grad_value_

from labwright.args import ExperimentArgs, RunOptions
from labwright.args.tools import BenchOptions
from labwright.args.wording import listed
from labwright.loop import Hook, NestedLoop
from labwright.runs.sizes import count_text
from labwright.runs.terminal import Terminal

from ..launch import Launch
from ..prepare import prepare
from ..recorder import Recorder
from ..signals import StopRequest
from .steps import prepared, training_steps

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

BARE, LABWRIGHT = "bare loop", "labwright"
_SECONDS = 0.2
"""Of a measurement: many short ones suffer less from what else goes on in a machine than few long ones."""
_LOOKED_AT = 5
"""Steps that say how many make a measurement."""
_FEWEST_STEPS, _FEWEST_ROUNDS = 10, 5
_MOST_UNSURE = 0.15
"""How far apart the quartiles of the ratio may lie before that is said."""


@dataclass
class Row:
    """A way to take the steps; medians over the rounds."""

    name: str
    samples_per_second: float
    seconds_per_step: float
    cpu_seconds_per_step: float
    ratio: float
    """Of the time to that of the bare loop in the same round: CPU time on a CPU, else time."""
    ratio_spread: tuple[float, float]
    """Half of the rounds lie within."""
    added: float
    """To the row before, as a share of the bare loop's time."""


@dataclass
class Tax:
    """The bare loop first, then each extra on top of those before."""

    experiment_id: str
    device: str
    num_rounds: int
    num_steps: int
    """That each row takes in a round, of one epoch or more."""
    batch_size: int
    rows: list[Row]

    def sentence(self) -> str:
        """What it comes to."""
        time_of = "CPU time" if self.device.startswith("cpu") else "time"
        names = ["the loop itself", *(row.name.removeprefix("+ ") for row in self.rows[2:])]
        steps = zip(names, self.rows, self.rows[1:], strict=False)
        parts = [f"{name} {100 * (row.ratio - before.ratio):+.0f} %" for name, before, row in steps]
        low, high = self.rows[-1].ratio_spread
        is_unsure = high - low > _MOST_UNSURE
        doubt = f"\nhalf of the rounds came to {low:.2f} to {high:.2f}: a larger --seconds says more" * is_unsure
        return f"a step takes {self.rows[-1].ratio:.2f} times the {time_of} of the bare loop: {', '.join(parts)}{doubt}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def measure_tax(
    experiment: "BareExperiment[ExperimentArgs]",
    options: BenchOptions | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> Tax:
    """Time the training of `experiment` with and without its extras; it stays as it was, and nothing is left behind.

    Raises:
        UserError: it does not train with PyTorch, batch by batch, or a run would be refused.
    """
    seconds = (options or BenchOptions()).seconds
    with ExitStack() as stack:
        tried, name, hooks = stack.enter_context(prepared(experiment))
        bench = _Bench(tried, name, hooks)
        bench.choose_length()
        stack.callback(bench.record())
        bench.begin()
        tell(f"{count_text(bench.num_steps, 'step')} at a time, in turns for {seconds:g} s: {listed(bench.variants)}")
        measured = bench.measure(seconds)
        return Tax(
            experiment.args.experiment_id,
            tried.device_name(),
            len(measured[BARE]),
            bench.num_steps,
            tried.args.batch_size,
            _rows(measured, bench.num_steps, bench.num_samples, tried.device),
        )


def _rows(measured: "dict[str, list[_Times]]", num_steps: int, num_samples: int, device: torch.device) -> list[Row]:
    place = int(device.type == "cpu")
    bare, rows, before = [times[place] for times in measured[BARE]], list[Row](), BARE
    for name, rounds in measured.items():
        wall, cpu = (median(times[place] for times in rounds) for place in (0, 1))
        ratios = [times[place] / one for times, one in zip(rounds, bare, strict=True)]
        added = [
            (times[place] - previous[place]) / one
            for times, previous, one in zip(rounds, measured[before], bare, strict=True)
        ]
        low, middle, high = quantiles(ratios, n=4) if len(ratios) > 1 else ratios * 3
        rows.append(
            Row(name, num_samples / wall, wall / num_steps, cpu / num_steps, middle, (low, high), median(added))
        )
        before = name
    return rows


_Times = tuple[float, float]
"""Wall and CPU seconds."""


class _Bench:
    """Takes the same steps in several ways."""

    def __init__(self, experiment: "Experiment[ExperimentArgs]", name: str, hooks: Sequence[Hook[Any]]) -> None:
        self._experiment = experiment
        self._name = name
        self._hooks = hooks
        self._own = [each for each in ("on_batch_start", "on_batch_end") if _is_own(experiment, each)]
        self._state: dict[str, Any] = {}
        self._num_passes = 1
        metrics = [metric.name for metric in experiment.build_metrics()]
        self.variants = [BARE, LABWRIGHT]
        self.variants += [f"+ {listed(metrics, 3)}"] if metrics else []
        self._num_with_metrics = len(self.variants)
        self.variants += [f"+ {type(hook).__name__}" for hook in hooks]
        self.variants += [f"+ {' and '.join(self._own)}"] if self._own else []

    @property
    def num_steps(self) -> int:
        """Of a measurement."""
        num_batches = len(self._experiment.loaders[self._name])
        return self._num_passes * -(-num_batches // self._experiment.args.accumulate_batches)

    @property
    def num_samples(self) -> int:
        return self._num_passes * len(self._experiment.splits.train[self._name])

    def choose_length(self) -> None:
        """How many steps a measurement takes: part of an epoch, or several."""
        experiment, args = self._experiment, self._experiment.args
        steps = training_steps(experiment, self._name)
        next(steps)
        started = time.perf_counter()
        for _ in range(_LOOKED_AT):
            next(steps)
        wanted = max(_FEWEST_STEPS, int(_SECONDS / (time.perf_counter() - started) * _LOOKED_AT))
        steps.close()
        num_samples = min(self.num_samples, wanted * args.accumulate_batches * args.batch_size)
        experiment.args = args.model_copy(update={"limit_train_samples": num_samples})
        prepare(experiment, RunOptions(checkpoint_every_seconds=None))
        self._num_passes = max(1, round(wanted / self.num_steps))

    def record(self) -> Callable[[], None]:
        """Have the steps recorded as those of a run are; what ends that."""
        silent = open(os.devnull, "w")
        recorder = Recorder(
            self._experiment,
            Terminal(silent),
            [],
            started=time.perf_counter(),
            launch=Launch(),
            stop=StopRequest(),
        )
        recorder.begin()
        self._experiment.recorder = recorder

        def end() -> None:
            recorder.close()
            silent.close()

        return end

    def begin(self) -> None:
        """Tell those who want to know, and keep the state that each measurement starts from."""
        self._experiment.on_experiment_start()
        for hook in self._hooks:
            hook.on_experiment_start(self._experiment)
        self._state = copy.deepcopy(self._experiment.state_dict())

    def measure(self, seconds: float) -> dict[str, list[_Times]]:
        """What each variant took in each round."""
        measured: dict[str, list[_Times]] = {variant: [] for variant in self.variants}
        for variant in self.variants:  # each for the first time
            self._take(variant)
        started, number = time.perf_counter(), 0
        while number < _FEWEST_ROUNDS or time.perf_counter() - started < seconds:
            for variant in random.Random(number).sample(self.variants, len(self.variants)):
                measured[variant].append(self._take(variant))
            number += 1
        return measured

    def _take(self, variant: str) -> _Times:
        wall = cpu = 0.0
        with ExitStack() as stack:
            self._switch_off(self.variants.index(variant), stack)
            for epoch in range(1, self._num_passes + 1):
                self._begin_epoch(epoch)
                started, used = time.perf_counter(), time.process_time()
                self._pass_over(variant)
                _wait(self._experiment.device)
                wall, cpu = wall + time.perf_counter() - started, cpu + time.process_time() - used
        return wall, cpu

    def _begin_epoch(self, epoch: int) -> None:
        """With the same weights each time: an optimizer that diverges would measure something else."""
        experiment = self._experiment
        experiment.load_state_dict(self._state)
        experiment.epoch = experiment.position.epoch = epoch
        experiment.dataset_name, experiment.epoch_metrics = self._name, {}
        experiment.on_epoch_start()
        for hook in experiment.hooks:
            hook.on_epoch_start(experiment)
        _wait(experiment.device)

    def _pass_over(self, variant: str) -> None:
        experiment = self._experiment
        if variant == BARE:
            _bare_pass(experiment, self._name, experiment.epoch)
        else:
            experiment.pass_over(self._name, experiment.loaders[self._name])

    def _switch_off(self, place: int, stack: ExitStack) -> None:
        """Leave out what comes after the variant in that place, until the stack ends."""
        attributes, num_hooks = vars(self._experiment), len(self._hooks)
        last_hook = self._num_with_metrics + num_hooks - 1
        self._experiment.hooks = self._hooks[: max(0, place - self._num_with_metrics + 1)]
        if place < self._num_with_metrics - 1 or place < 2:
            attributes["build_metrics"] = list
            stack.callback(attributes.pop, "build_metrics")
        if place <= last_hook:
            for name in self._own:
                attributes[name] = MethodType(getattr(NestedLoop, name), self._experiment)
                stack.callback(attributes.pop, name)


def _is_own(experiment: Any, name: str) -> bool:
    return getattr(type(experiment), name) is not getattr(NestedLoop, name)


def _bare_pass(experiment: "Experiment[ExperimentArgs]", name: str, epoch: int) -> None:
    """An epoch of the loop that one would write by hand, with the same parts."""
    loader, model, args = experiment.loaders[name], experiment.model, experiment.args
    model.train()
    if hasattr(loader, "set_epoch"):
        loader.set_epoch(epoch)
    if type(experiment).train_batch.__module__ != "labwright.experiment":
        for batch in experiment.stepper.each(loader):  # it has a way of its own to take a step
            experiment.batch_metrics = {}
            experiment.batch = experiment.prepare_batch(batch, training=True)
            experiment.train_batch(experiment.batch)
        return
    optimizers = list(experiment.optimizers.values())
    schedulers = list(experiment.schedulers.values()) if experiment.scheduler_interval == "step" else []
    num_batches, size = len(loader), args.accumulate_batches
    for number, batch in enumerate(loader, start=1):
        batch = experiment.prepare_batch(batch, training=True)
        with experiment.stepper.forward(model):
            loss = experiment.compute_loss(batch).value
        (loss if size == 1 else loss / size).backward()
        if number % size and number < num_batches:
            continue
        if args.gradient_clipping_value is not None:
            clip_grad_value_(model.parameters(), args.gradient_clipping_value)
        if args.gradient_clipping is not None:
            clip_grad_norm_(model.parameters(), args.gradient_clipping)
        for part in (*optimizers, *schedulers):
            part.step()
        for optimizer in optimizers:
            optimizer.zero_grad()


def _wait(device: torch.device) -> None:
    if device.type != "cpu":
        torch.accelerator.synchronize()
