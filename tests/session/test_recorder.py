"""What is kept and shown of a run."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import RunOptions
from labwright.runs.terminal import Terminal
from labwright.trackers import Tracker
from labwright.train import NonFiniteLoss


def test_data_and_parts_that_fail_leave_no_directory(make: Callable[..., Any], points: Any, tmp_path: Path) -> None:
    class Broken(points):
        def build_model(self) -> Any:
            raise RuntimeError("no model")

    with pytest.raises(RuntimeError, match="no model"):
        make(Broken).run()
    assert not (tmp_path / "results").exists()


def test_weights_that_the_last_step_of_an_epoch_spoiled_are_not_checkpointed(
    make: Callable[..., Any], points: Any, tmp_path: Path
) -> None:
    """The loss of the last step is finite, and the weights after it are not."""

    class Spoiling(points):
        def train_batch(self, batch: Any) -> Any:
            loss = super().train_batch(batch)
            with torch.no_grad():
                self.model.head.weight.fill_(torch.inf)
            return loss

    with pytest.raises(NonFiniteLoss, match="head.weight"):
        make(Spoiling, batch_size=60).run()
    assert not list(tmp_path.rglob("*.safetensors"))


def test_nan_in_validation_alone_is_never_the_best(make: Callable[..., Any], points: Any) -> None:
    class Undefined(points):
        def eval_batch(self, batch: Any) -> Any:
            return super().eval_batch(batch)._replace(value=torch.tensor(torch.nan))

    result = make(Undefined).run()
    assert result.weights_epoch == 2 and result.best_epoch is None and result.best_value is None
    assert json.loads((result.run_dir / "run.json").read_text())["result"]["test"]["loss"] is None


def test_picture_that_fails_is_a_warning(make: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("no font")

    monkeypatch.setattr("labwright.session.recorder.plot_history", fail)
    monkeypatch.setattr("labwright.runs.plots.throttle.ThrottledPlot.maybe_draw", lambda self, draw: draw())
    shown = StringIO()
    result = make().run(terminal=Terminal(shown))
    assert result.test
    assert "history.png failed: RuntimeError: no font" in shown.getvalue()


def test_what_hooks_print_is_in_the_log(make: Callable[..., Any], points: Any) -> None:
    class Talking(points):
        def on_epoch_end(self) -> None:
            print(f"epoch {self.epoch}: all is well")

    log = (make(Talking).run().run_dir / "log.txt").read_text()
    assert "epoch 1: all is well" in log and "epoch 2: all is well" in log


def test_each_epoch_leaves_one_line(make: Callable[..., Any]) -> None:
    shown = StringIO()
    make(epochs=12).run(terminal=Terminal(shown))
    lines = [line for line in shown.getvalue().splitlines() if line.startswith("epoch ")]
    assert len(lines) == 12
    assert lines[0].startswith("epoch  1/12  train loss ") and "  val loss " in lines[0] and " accuracy " in lines[0]
    assert lines[0].endswith("best")


def test_bar_shows_loss_and_main_metric(make: Callable[..., Any]) -> None:
    experiment = make(epochs=2, batch_size=20, best_model_metric="accuracy")
    seen: list[str] = []

    class Watching(Terminal):
        def progress(self, batches: Any, *, total: int, title: str) -> Any:
            progress = super().progress(batches, total=total, title=title)
            seen.append(f"{title}: {progress.status}")
            self.shown = progress
            return progress

    terminal = Watching(StringIO())
    experiment.run(RunOptions(log_every_n_steps=2), terminal=terminal)
    assert seen[0].startswith("epoch 1/2 train") and seen[2].startswith("epoch 2/2 train")
    assert "loss 0." in terminal.shown.status and "val/accuracy 0." in terminal.shown.status


def test_tracker_of_the_experiments_own_hears_of_the_run(make: Callable[..., Any], points: Any) -> None:
    class Ear(Tracker):
        heard: list[Any] = []

        def log_epoch(self, epoch: int, step: int, metrics: Any) -> None:
            self.heard.append((epoch, *metrics))

    class Tracked(points):
        def build_trackers(self, options: Any, warn: Any) -> list[Tracker]:
            return [*super().build_trackers(options, warn), Ear()]

    make(Tracked, epochs=1).run()
    assert Ear.heard[0] == (1, "train/loss", "train/accuracy", "val/loss", "val/accuracy", "learning_rate")
