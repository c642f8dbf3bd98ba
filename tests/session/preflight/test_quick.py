"""A long run is tried before it begins, in a moment, and goes on as if it had not been."""

import io
import multiprocessing
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from labwright.args import RunOptions
from labwright.optimizers import AdamArgs
from labwright.runs.terminal import Terminal
from labwright.session.preflight import WillFail
from tests.points import Points
from tests.session.preflight.experiments import (
    Counting,
    Drawing,
    Exploding,
    Forgetful,
    Unsaveable,
    fill_disk,
)
from tests.session.test_resume import HARD, assert_same_run

Make = Callable[..., Any]


@pytest.fixture
def every_run_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.session.preflight.quick.MANY_BATCHES", 0)
    monkeypatch.setattr("labwright.session.preflight.quick.LONG_SECONDS", 0)


def run_told(experiment: Any, **options: Any) -> tuple[Path, str]:
    """The run directory, and what was said on the way."""
    said = io.StringIO()
    result = experiment.run(RunOptions(predictions="none", **options), terminal=Terminal(said))
    return result.run_dir, said.getvalue()


def without(monkeypatch: pytest.MonkeyPatch, experiment: Any) -> Path:
    """The same run with no preflight before it."""
    with monkeypatch.context() as patch:
        patch.setattr("labwright.session.run.quick_preflight", lambda *_: None)
        return experiment.run(RunOptions(predictions="none")).run_dir


@pytest.mark.usefixtures("every_run_is_long")
@pytest.mark.parametrize("kind", [Points, Forgetful, Drawing, Counting])
def test_long_run_is_the_run_without_a_preflight(make: Make, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    fields = HARD if kind is Points else {"batch_size": 8, "optimizer": AdamArgs()}
    run, said = run_told(make(kind, **fields))
    assert "preflight: " in said
    assert_same_run(run, without(monkeypatch, make(kind, **fields)))


@pytest.mark.usefixtures("every_run_is_long")
def test_long_run_says_once_what_it_will_take(make: Make, tmp_path: Path) -> None:
    run, said = run_told(make())
    [line] = [line for line in said.splitlines() if line.startswith("preflight: ")]
    assert line.startswith("preflight: ok; about ") and line.endswith(" free)")
    assert line in (run / "log.txt").read_text().splitlines()
    assert [path for path in tmp_path.rglob(".preflight*")] == []


@pytest.mark.usefixtures("every_run_is_long")
def test_what_the_experiment_counts_is_what_the_run_did(make: Make) -> None:
    class Counted(Points):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.losses: list[float] = []
            self.by_epoch: dict[int, list[int]] = {}

        def train_batch(self, batch: Any) -> Any:
            loss = super().train_batch(batch)
            self.losses.append(float(loss.value))
            self.by_epoch.setdefault(self.epoch, []).append(len(self.losses))
            self.append("losses", self.losses[-1])
            return loss

    experiment = make(Counted, epochs=2, batch_size=20)
    run, said = run_told(experiment)
    assert "preflight: ok" in said
    assert experiment.by_epoch == {1: [1, 2, 3], 2: [4, 5, 6]} and len(experiment.losses) == 6
    assert len((run / "artifacts" / "losses.jsonl").read_text().splitlines()) == 6


@pytest.mark.usefixtures("every_run_is_long")
def test_random_numbers_go_on_as_if_none_had_been_drawn(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Drawn(Points):
        def on_experiment_start(self) -> None:
            self.store("drawn", [torch.rand(()).item(), random.random(), np.random.random()])

    run, _ = run_told(make(Drawn))
    other = without(monkeypatch, make(Drawn))
    assert (run / "artifacts" / "drawn.json").read_text() == (other / "artifacts" / "drawn.json").read_text()


@pytest.mark.usefixtures("every_run_is_long")
@pytest.mark.parametrize(("kind", "times"), [(Points, 1), (Forgetful, 2)])
def test_parts_are_built_twice_only_where_they_do_not_come_back(make: Make, kind: Any, times: int) -> None:
    built: list[nn.Module] = []

    class Watched(kind):
        def build_model(self) -> nn.Module:
            built.append(super().build_model())
            return built[-1]

    run_told(make(Watched))
    assert len(built) == times


@pytest.mark.usefixtures("every_run_is_long")
@pytest.mark.slow
def test_workers_of_a_long_run_begin_anew(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Alone(Points):
        def on_experiment_start(self) -> None:
            assert not multiprocessing.active_children()

    def with_workers() -> Any:
        experiment = make(Alone, **HARD)
        experiment.machine = experiment.machine.model_copy(update={"num_workers": 2})
        return experiment

    run, said = run_told(with_workers())
    assert "preflight: ok" in said
    assert_same_run(run, without(monkeypatch, with_workers()))


@pytest.mark.usefixtures("every_run_is_long")
def test_inexact_resume_is_a_warning_only(make: Make) -> None:
    _, said = run_told(make(Forgetful))
    assert "warning: preflight: this run will not resume exactly: " in said


@pytest.mark.usefixtures("every_run_is_long")
def test_failing_step_is_left_to_the_run_to_tell(make: Make) -> None:
    experiment, said = make(Exploding), io.StringIO()
    with pytest.raises(Exception, match="loss is inf"):
        experiment.run(terminal=Terminal(said))
    assert "preflight: not tried to the end: NonFiniteLoss" in said.getvalue()
    assert (experiment.run_directory.path / "artifacts" / "bad_batch.json").is_file()


@pytest.mark.usefixtures("every_run_is_long")
def test_long_run_that_cannot_be_saved_is_refused_before_it_begins(make: Make, tmp_path: Path) -> None:
    with pytest.raises(WillFail, match="no checkpoint of it can be saved: .*generator: a Random"):
        make(Unsaveable).run()
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.usefixtures("every_run_is_long")
def test_long_run_without_room_is_refused_before_it_begins(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)
    with pytest.raises(WillFail, match=r"it needs .* of disk, each checkpoint .*, and 100 B are free; free some, or"):
        make().run()
    assert not list(tmp_path.rglob("run.json"))


def test_short_run_says_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = run_told(make())
    monkeypatch.setattr("labwright.session.preflight.quick.MANY_BATCHES", 0)
    _, said_of_many = run_told(make())
    assert "preflight" not in said + said_of_many


def test_large_model_is_not_tried_for_a_second(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.session.preflight.quick.MANY_BATCHES", 0)
    monkeypatch.setattr("labwright.session.preflight.quick._MOST_WEIGHTS", 1)
    _, said = run_told(make())
    assert "preflight: not tried, " in said and "--preflight does it" in said
    fill_disk(monkeypatch)
    with pytest.raises(WillFail, match="100 B are free"):
        make().run()
