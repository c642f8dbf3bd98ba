"""The way to the first step: what it is made of, what it does without, and what it does to the garbage collector."""

import builtins
import gc
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from labwright import RunOptions
from labwright.runs.terminal import Terminal
from labwright.session.startup import Startup, collector_at_rest, leave_out_imports

PARTS = [
    *("imports", "data", "overlap check", "model, loaders", "optimizer, other parts", "preflight, trackers"),
    *("run directory", "first batch", "first step"),
]
HEAVY = (
    *("torch._dynamo", "torch._inductor", "sympy", "matplotlib", "wandb", "torchmetrics", "sklearn", "scipy", "pandas"),
    *("tensorboard", "datasets", "onnx", "jax"),
)
AT_THE_FIRST_STEP = f"""
import sys
sys.path.insert(0, sys.argv.pop(1))
from lab.registry import EXPERIMENTS
from labwright.cli import main
from labwright.experiment import Experiment

def train_batch(self, batch):
    loss = Experiment.usual_train_batch(self, batch)
    print([name for name in {HEAVY} if name in sys.modules])
    Experiment.train_batch = Experiment.usual_train_batch
    return loss

Experiment.usual_train_batch, Experiment.train_batch = Experiment.train_batch, train_batch
main(EXPERIMENTS)
"""


@pytest.fixture
def collector() -> Iterator[None]:
    yield
    gc.enable()
    gc.unfreeze()


class Told:
    """Says when it is finalized; part of a cycle, so that only the collector finds it."""

    def __init__(self, said: list[str]) -> None:
        self.said, self.me = said, self

    def __del__(self) -> None:
        self.said.append("finalized")


@pytest.mark.usefixtures("no_pictures")
def test_parts_of_the_start_are_shown_and_kept_and_change_nothing(make: Callable[..., Any]) -> None:
    shown = StringIO()
    experiment = make(epochs=1)
    run = experiment.run(RunOptions(profile_startup=True), terminal=Terminal(shown)).run_dir
    startup = json.loads((run / "run.json").read_bytes())["startup"]
    assert [*startup["parts"]] == PARTS
    for unit in ("cpu_seconds", "wall_seconds"):
        assert startup[unit] == pytest.approx(sum(part[unit] for part in startup["parts"].values()), abs=1e-3)
    lines = shown.getvalue().splitlines()
    table = lines[lines.index(next(line for line in lines if line.startswith("start-up"))) :][: len(PARTS) + 2]
    assert [line.split("  ")[1] for line in table[1:]] == [*PARTS, "in all"]
    assert lines.index(table[0]) < lines.index(next(line for line in lines if line.startswith("epoch 1/1")))
    plain = make(epochs=1).run().run_dir
    assert json.loads((plain / "run.json").read_bytes())["startup"] is None
    assert (run / "model.safetensors").read_bytes() == (plain / "model.safetensors").read_bytes()


@pytest.mark.usefixtures("no_pictures")
def test_run_without_a_step_shows_the_parts_there_were(make: Callable[..., Any]) -> None:
    run = make(epochs=0).run(RunOptions(profile_startup=True)).run_dir
    assert [*json.loads((run / "run.json").read_bytes())["startup"]["parts"]] == PARTS[:-2]


@pytest.mark.usefixtures("no_pictures")
def test_what_a_part_imports_counts_as_imports(
    make: Callable[..., Any], points: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """torch's own import was booked under "data" where the experiment's datasets were the first to need it."""
    (tmp_path / "slow_to_import.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr("labwright.session.startup._now", lambda: (0.0, 100.0 * ("slow_to_import" in sys.modules)))

    class Late(points):
        def build_datasets(self) -> Any:
            import slow_to_import  # pyright: ignore[reportMissingImports]

            assert slow_to_import
            return super().build_datasets()

    original = builtins.__import__
    run = make(Late, epochs=0).run(RunOptions(profile_startup=True)).run_dir
    parts = json.loads((run / "run.json").read_bytes())["startup"]["parts"]
    assert parts["imports"]["wall_seconds"] == 100 and parts["data"]["wall_seconds"] == 0
    assert builtins.__import__ is original


def test_start_of_a_test_has_no_training_step_and_is_refused() -> None:
    with pytest.raises(ValidationError, match="profile_startup ends with a training step"):
        RunOptions(profile_startup=True, mode="test")


def test_clock_of_the_process_starts_before_the_program() -> None:
    startup = Startup(of_process=True)
    startup.mark("so far")
    assert startup.in_all.cpu_seconds > 0.05 and startup.in_all.wall_seconds > 0.05
    startup = Startup()
    startup.mark("nothing")
    assert startup.in_all.cpu_seconds < 1


def test_collector_rests_during_imports_and_leaves_them_out_afterwards(collector: None) -> None:
    said: list[str] = []
    with collector_at_rest():
        assert not gc.isenabled()
        leave_out_imports()
        assert gc.isenabled() and gc.get_freeze_count() > 1_000
        Told(said)
        gc.freeze()
        assert said == []
    assert said == ["finalized"]
    assert gc.isenabled()


def test_collector_is_as_it_was_after_an_error(collector: None) -> None:
    with pytest.raises(KeyError), collector_at_rest():
        leave_out_imports()
        raise KeyError("bad")
    assert gc.isenabled() and gc.get_freeze_count() == 0


def test_outside_the_block_nothing_is_left_out(collector: None) -> None:
    leave_out_imports()
    assert gc.get_freeze_count() == 0


@pytest.mark.slow
def test_nothing_heavy_is_imported_before_the_first_step_has_been_made(tmp_path: Path) -> None:
    words = ["--experiment_id=mnist", "--dataset.source=digits", "--epochs=1", "--use_cuda=false", "--profile_startup"]
    source = Path(__file__).parents[2] / "src"
    done = subprocess.run(
        [sys.executable, "-c", AT_THE_FIRST_STEP, str(source), *words, "--json", "--predictions=none"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    seen, _, result = done.stdout.partition("\n")
    assert seen == "[]"
    run = Path(json.loads(result)["run_dir"])
    assert [*json.loads((run / "run.json").read_bytes())["startup"]["parts"]] == ["interpreter, arguments", *PARTS]
    assert "interpreter, arguments" in done.stderr
