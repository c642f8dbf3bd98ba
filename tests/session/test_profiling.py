"""`--profile=N`: what it leaves, and that it changes nothing."""

import gzip
import json
from collections.abc import Callable, Sequence
from io import StringIO
from typing import Any

import pytest
import torch

from labwright import Hook, MachineConfig, RunOptions, UserError
from labwright.bare import BareExperiment
from labwright.runs.terminal import Terminal
from labwright.session import phases

pytestmark = pytest.mark.usefixtures("no_pictures")


@pytest.mark.slow
def test_the_time_of_the_steps_is_told_by_phase_and_the_weights_are_the_same(
    make: Callable[..., Any], points: Any
) -> None:
    class Curious(Hook[Any]):
        def on_batch_end(self, loop: Any) -> None:
            loop.batch_metrics["half"] = loop.batch_metrics["loss"] / 2

    class Heard(points):
        def build_hooks(self) -> Sequence[Hook[Any]]:
            return [Curious()]

    shown, kind, fields = StringIO(), Heard, {"epochs": 3, "batch_size": 4, "accumulate_batches": 2}
    experiment = make(kind, **fields)
    before = {*vars(experiment)}
    result = experiment.run(RunOptions(profile=5), terminal=Terminal(shown))
    assert not {name for name in ("batches", "train_batch", "new_meter") if name in vars(experiment)} - before
    plain = make(kind, **fields).run().run_dir
    assert (result.run_dir / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()

    report = json.loads((result.run_dir / "profile" / "profile.json").read_bytes())
    assert (report["num_steps"], report["num_traced_steps"], report["num_samples"]) == (5, 5, 36)
    assert all(report["phases"][name]["wall"] > 0 for name in phases.PHASES)
    assert "aten::addmm" in {operator["name"] for operator in report["operators"]}
    table = (result.run_dir / "profile" / "table.txt").read_text()
    assert table in shown.getvalue()
    assert [line.split()[0] for line in table.splitlines()[2:9]] == [
        *("data", "forward", "backward", "optimizer", "metrics", "hooks", "the")
    ]
    trace = json.loads(gzip.decompress((result.run_dir / "profile" / "trace.json.gz").read_bytes()))
    names = [event.get("name") for event in trace["traceEvents"] if event.get("cat") == "user_annotation"]
    assert names.count("optimizer") == 10
    assert not (plain / "profile").exists()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("epochs", "num_measured", "num_traced"), [(1, 5, 0), (2, 10, 5)], ids=["within the measures", "within the trace"]
)
def test_a_training_that_ends_first_is_profiled_as_far_as_it_goes(
    make: Callable[..., Any], epochs: int, num_measured: int, num_traced: int
) -> None:
    ten_steps_each = make(epochs=epochs, batch_size=6)
    shown = StringIO()
    result = ten_steps_each.run(RunOptions(profile=10), terminal=Terminal(shown))
    folder = result.run_dir / "profile"
    report = json.loads((folder / "profile.json").read_bytes())
    assert (report["num_steps"], report["num_traced_steps"]) == (num_measured, num_traced)
    assert (folder / "trace.json.gz").exists() == (num_traced > 0)
    is_told = "no step was traced, since that begins after 15 steps" in shown.getvalue()
    assert is_told == (num_traced == 0)
    assert "samples/s, the work of --profile included)" in result.summary()


@pytest.mark.slow
def test_where_a_pass_ends_with_the_measures_the_next_is_traced(make: Callable[..., Any]) -> None:
    """The trace of the last moment of a pass was empty, and there was none."""
    folder = make(epochs=2, batch_size=6).run(RunOptions(profile=5)).run_dir / "profile"
    report = json.loads((folder / "profile.json").read_bytes())
    assert (report["num_steps"], report["num_traced_steps"]) == (5, 5)


@pytest.mark.slow
def test_steps_without_the_stepper_count_as_one_phase(make: Callable[..., Any], points: Any) -> None:
    class ByHand(points):
        def train_batch(self, batch: Any) -> Any:
            loss = self.compute_loss(batch)
            loss.value.backward()
            self.optimizer.step()
            self.optimizer.zero_grad()
            return loss.detach()

    run = make(ByHand, batch_size=4).run(RunOptions(profile=5)).run_dir
    table = (run / "profile" / "table.txt").read_text()
    assert "  train_batch " in table
    assert "backward " not in table.partition("operations")[0]


def test_a_training_too_short_to_measure_says_so(make: Callable[..., Any]) -> None:
    shown = StringIO()
    run = make(epochs=1, batch_size=30).run(RunOptions(profile=5), terminal=Terminal(shown)).run_dir
    assert "warning: --profile: the first 5 steps are to warm up, and there were no more of them" in shown.getvalue()
    assert not (run / "profile").exists()


@pytest.mark.slow
def test_a_run_that_fails_while_it_is_traced_fails_as_ever(make: Callable[..., Any], points: Any) -> None:
    class Failing(points):
        def compute_loss(self, batch: Any) -> Any:
            if self.position.step == 13:
                raise RuntimeError("enough")
            return super().compute_loss(batch)

    with pytest.raises(RuntimeError, match="enough"):
        make(Failing, batch_size=3).run(RunOptions(profile=5))


def test_what_has_no_training_steps_has_no_profile(command_line: Callable[..., Any], points_args: Any) -> None:
    words = ["--experiment_id=points", "--mode=test", "--from_checkpoint=x", "--profile=3"]
    assert "mode=test has none" in command_line(*words, experiments={"points": points_args}).error
    with pytest.raises(UserError, match="--profile is of training steps, and --epochs=0 has none"):
        points_args(epochs=0).build(MachineConfig()).run(RunOptions(profile=3))
    with pytest.raises(UserError, match="--profile: points does not use it"):
        BareExperiment(points_args()).run(RunOptions(profile=3))


def test_what_a_phase_within_a_phase_takes_is_the_inner_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter(range(100))
    monkeypatch.setattr(phases.time, "perf_counter", lambda: next(now) // 2)  # each turn reads it twice
    clock = phases.Clock(torch.device("cpu"))
    for act in ("rest", "forward", "backward", None, None, None):
        clock.leave() if act is None else clock.enter(phases.REST if act == "rest" else act)
    spent = clock.spent()
    assert (spent[phases.REST].wall, spent[phases.FORWARD].wall, spent[phases.BACKWARD].wall) == (2, 2, 1)


def test_on_an_accelerator_marks_are_read_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not run on a GPU: with events that only count."""

    class Event:
        number = 0

        def __init__(self, device: Any, enable_timing: bool) -> None:
            assert enable_timing

        def record(self) -> None:
            Event.number += 1
            self.at = Event.number

        def elapsed_time(self, other: "Event") -> float:
            return 1000.0 * (other.at - self.at)

    waits: list[int] = []
    monkeypatch.setattr(phases.torch, "Event", Event)
    monkeypatch.setattr(phases.torch.accelerator, "synchronize", lambda: waits.append(Event.number))
    clock = phases.Clock(torch.device("cuda"))
    clock.enter(phases.REST)
    clock.enter(phases.DATA)
    clock.leave()
    clock.leave()
    spent = clock.spent()
    assert waits == [4]
    assert (spent[phases.REST].device, spent[phases.DATA].device, spent[phases.HOOKS].device) == (2.0, 1.0, None)
