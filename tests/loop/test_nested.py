"""The nested loop: the order of its events, its metrics, where it stops, and what it costs."""

import ast
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labwright.loop import Hook, NestedLoop

LOOP_ROOM = Path(__file__).parents[2] / "src" / "labwright" / "loop"
LEVELS = ("experiment", "epoch", "dataset", "batch")
EVENTS = [f"on_{level}_{when}" for level in LEVELS for when in ("start", "end")]


class Counting(NestedLoop):
    """Two datasets of two batches; a batch is a number, its weight is the number."""

    num_epochs = 2

    def datasets(self) -> Mapping[str, list[int]]:
        return {"train": [1, 2], "val": [3, 4]}

    def run_batch(self) -> None:
        self.batch_metrics["value"] = float(self.batch)
        self.batch_weight = self.batch


def tracing(base: type, name: str, trace: list[str]) -> Any:
    """An instance of `base` that writes down every event and every run."""

    def listen(event: str) -> Any:
        def told(self: Any, *loop: Any) -> None:
            trace.append(f"{name} {event}")

        return told

    def running(rung: str) -> Any:
        def run(self: Any) -> None:
            trace.append(f"{name} {rung}")
            getattr(base, rung)(self)

        return run

    methods = {event: listen(event) for event in EVENTS}
    if issubclass(base, NestedLoop):
        methods |= {rung: running(rung) for rung in (f"run_{level}" for level in LEVELS)}
    return type(f"Tracing{name}", (base,), methods)()


def expected_trace() -> list[str]:
    """Written by hand from the design: at a start the experiment first, at an end last."""
    start = ["loop on_{0}_start", "first on_{0}_start", "second on_{0}_start", "loop run_{0}"]
    end = ["second on_{0}_end", "first on_{0}_end", "loop on_{0}_end"]

    def around(level: str, inner: list[str]) -> list[str]:
        return [line.format(level) for line in start] + inner + [line.format(level) for line in end]

    batches = around("batch", []) * 2
    datasets = around("dataset", batches) * 2
    return around("experiment", around("epoch", datasets) * 2)


def test_events_come_in_the_order_of_the_drawing() -> None:
    trace: list[str] = []
    loop = tracing(Counting, "loop", trace)
    loop.hooks = [tracing(Hook, "first", trace), tracing(Hook, "second", trace)]
    loop.run_loop()
    print(*trace, sep="\n")
    assert trace == expected_trace()


def test_metrics_rise_from_batch_to_experiment() -> None:
    loop = Counting()
    loop.run_loop()
    epoch = {"train": {"value": (1 + 4) / 3}, "val": {"value": (9 + 16) / 7}}
    assert loop.experiment_metrics == {1: epoch, 2: epoch}


def test_metrics_that_a_hook_adds_are_averaged_too() -> None:
    """Elsewhere batch metrics were never aggregated."""

    class AddsSquare(Hook[Counting]):
        def on_batch_end(self, loop: Counting) -> None:
            loop.batch_metrics["square"] = loop.batch_metrics["value"] ** 2

    loop = Counting()
    loop.hooks = [AddsSquare()]
    loop.run_loop()
    assert loop.experiment_metrics[1]["train"]["square"] == (1 * 1 + 4 * 2) / 3


def test_metrics_keep_their_values_when_their_tensor_is_used_again() -> None:
    import torch

    class Reusing(Counting):
        total = torch.zeros(())

        def run_batch(self) -> None:
            self.batch_metrics["value"] = self.total.fill_(self.batch)

    loop = Reusing()
    loop.run_loop()
    assert loop.experiment_metrics[1] == {"train": {"value": 1.5}, "val": {"value": 3.5}}
    assert type(loop.experiment_metrics[1]["train"]["value"]) is float


def test_arrays_are_averaged_and_stay_arrays() -> None:
    import numpy as np

    class Arrays(Counting):
        def run_batch(self) -> None:
            self.batch_metrics["counts"] = np.array([1.0, float(self.batch)])

    loop = Arrays()
    loop.run_loop()
    assert loop.epoch_metrics["val"]["counts"].tolist() == [1.0, 3.5]


@pytest.mark.parametrize(
    ("level", "epochs", "passes", "batches"),
    [("batch", 2, 4, 4), ("dataset", 2, 4, 4), ("epoch", 2, 2, 2), ("experiment", 1, 1, 1)],
)
@pytest.mark.parametrize("event", ["on_batch_start", "on_batch_end"])
def test_stopping_ends_cleanly_at_the_end_of_that_level(
    level: Any, epochs: int, passes: int, batches: int, event: str
) -> None:
    """In the first batch of each dataset `level` is told to stop; what has begun still gets its end."""
    trace: list[str] = []
    loop = tracing(Counting, "loop", trace)

    class Stops(Hook[Any]):
        def tell(self, loop: Any) -> None:
            if loop.batch in (1, 3):
                loop.stop(level)

    setattr(Stops, event, Stops.tell)
    loop.hooks = [Stops()]
    loop.run_loop()
    for name, count in (("experiment", 1), ("epoch", epochs), ("dataset", passes)):
        assert trace.count(f"loop on_{name}_start") == trace.count(f"loop on_{name}_end") == count
    seen = batches * 2 if level == "batch" else batches
    assert trace.count("loop on_batch_start") == trace.count("loop on_batch_end") == seen
    skipped = batches if event == "on_batch_start" else 0
    assert trace.count("loop run_batch") == seen - skipped


def test_a_level_that_there_is_not_is_named_with_those_that_there_are() -> None:
    level: Any = "epochs"
    with pytest.raises(ValueError, match="no level 'epochs' to stop; the levels are experiment, epoch, dataset, batch"):
        Counting().stop(level)


def test_stopping_before_a_level_runs_leaves_its_inside_out() -> None:
    trace: list[str] = []
    loop = tracing(Counting, "loop", trace)

    class Stops(Hook[Any]):
        def on_epoch_start(self, loop: Any) -> None:
            loop.stop("epoch")

    loop.hooks = [Stops()]
    loop.run_loop()
    assert trace.count("loop on_epoch_end") == 2
    assert "loop run_epoch" not in trace
    assert not loop.is_stopped("experiment")


def test_everybody_hears_of_an_exception_hooks_in_reverse_and_the_loop_last() -> None:
    heard: list[str] = []

    class Hears(Hook[NestedLoop]):
        def __init__(self, name: str) -> None:
            self.name = name

        def on_exception(self, loop: NestedLoop, error: BaseException) -> None:
            heard.append(f"{self.name}: {error}")

    class Fails(Counting):
        def run_batch(self) -> None:
            raise ArithmeticError("no")

        def on_exception(self, error: BaseException) -> None:
            heard.append(f"loop: {error}")

    loop = Fails()
    loop.hooks = [Hears("first"), Hears("second")]
    with pytest.raises(ArithmeticError, match="no"):
        loop.run_loop()
    assert heard == ["second: no", "first: no", "loop: no"]


def test_hook_that_fails_at_an_exception_leaves_the_others_told() -> None:
    heard: list[str] = []

    class Breaks(Hook[NestedLoop]):
        def on_exception(self, loop: NestedLoop, error: BaseException) -> None:
            raise OSError("disk full")

    class Fails(Counting):
        def run_batch(self) -> None:
            raise ArithmeticError("no")

        def on_exception(self, error: BaseException) -> None:
            heard.append(str(error))

    loop = Fails()
    loop.hooks = [Breaks()]
    with pytest.raises(OSError, match="disk full") as raised:
        loop.run_loop()
    assert isinstance(raised.value.__context__, ArithmeticError)
    assert heard == ["no"]


def test_hook_without_batch_events_adds_no_call_per_batch() -> None:
    """Counts the Python calls of a run: ten times the batches cost each hook nothing more."""

    class Bare(NestedLoop):
        def __init__(self, num_batches: int) -> None:
            self.num_batches = num_batches

        def datasets(self) -> Mapping[str, range]:
            return {"train": range(self.num_batches)}

        def run_batch(self) -> None:
            pass

    class Idle(Hook[NestedLoop]):
        def on_epoch_end(self, loop: NestedLoop) -> None:
            pass

    def calls(num_batches: int, hooks: list[Hook[Any]]) -> int:
        loop, count = Bare(num_batches), 0
        loop.hooks = hooks

        def profile(frame: Any, event: str, arg: Any) -> None:
            nonlocal count
            is_ours = frame.f_code.co_filename == __file__ or Path(frame.f_code.co_filename).parent == LOOP_ROOM
            count += event == "call" and is_ours  # the garbage collector may call others

        sys.setprofile(profile)
        try:
            loop.run_loop()
        finally:
            sys.setprofile(None)
        return count

    for hooks in ([], [Idle(), Idle()]):
        per_batch = (calls(110, hooks) - calls(10, hooks)) / 100
        assert per_batch == 2  # run_batch and collect_batch


def test_the_loop_is_short_and_imports_nothing_but_the_standard_library() -> None:
    sources = [path.read_text(encoding="utf-8") for path in LOOP_ROOM.glob("*.py")]
    assert sum(len(source.splitlines()) for source in sources) <= 215
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            assert all(name.partition(".")[0] in sys.stdlib_module_names for name in names)


def test_importing_the_loop_loads_no_library() -> None:
    check = "import labwright.loop, sys; print([n for n in ('torch', 'numpy', 'pydantic') if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=600)
    assert done.stdout == "[]\n", done.stderr
