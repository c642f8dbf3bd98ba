"""What hooks and experiments do besides training survives a stop too: once, and not twice."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labwright.args import RunOptions
from labwright.args.errors import Terminated
from labwright.loop import Hook
from labwright.schedulers import ExponentialArgs
from labwright.session import RunResult
from tests.session.test_resume import StopAt, assert_same_run, resume, stop_at

Make = Callable[..., Any]
Build = Callable[..., Any]
QUIETLY = RunOptions(predictions="none")
SHORT = {"epochs": 2, "batch_size": 4}

pytestmark = pytest.mark.usefixtures("no_pictures")


def stopped(experiment: Any) -> Path:
    with pytest.raises((Terminated, SystemExit)):
        experiment.run(QUIETLY)
    return experiment.run_directory.path


def artifacts(run: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in (run / "artifacts").glob("*")}


def with_hooks(experiment: Any, *hooks: Hook[Any]) -> Any:
    experiment.build_hooks = lambda: [*hooks]
    return experiment


class SkipSome(Hook[Any]):
    def on_batch_start(self, loop: Any) -> None:
        if loop.is_training and loop.batch["index"][0] % 2 == 0:
            loop.stop("batch")


class Log(Hook[Any]):
    def on_epoch_start(self, loop: Any) -> None:
        loop.append("epochs", {"epoch": loop.epoch})

    def on_batch_end(self, loop: Any) -> None:
        loop.append("batches", {"epoch": loop.epoch, "set": loop.dataset_name})


class MeasureArrays(Hook[Any]):
    def on_batch_end(self, loop: Any) -> None:
        loop.batch_metrics |= {"number": np.float32(loop.position.step / 3), "array": np.full(2, loop.position.step)}


class Perturb(Hook[Any]):
    """Changes the weights, by random numbers, when an epoch begins."""

    def on_epoch_start(self, loop: Any) -> None:
        with torch.no_grad():
            for weights in loop.model.parameters():
                weights.add_(0.01 * torch.randn_like(weights))


class TestTwice(Hook[Any]):
    """Evaluates the test set within the epoch, and after its training set."""

    __test__ = False

    def on_dataset_end(self, loop: Any) -> None:
        if loop.dataset_name == "train":
            loop.evaluate(loop.splits.test)

    def on_epoch_end(self, loop: Any) -> None:
        loop.evaluate(loop.splits.test)


@pytest.mark.parametrize("hook", [SkipSome, Log, MeasureArrays, Perturb, TestTwice])
@pytest.mark.parametrize("batch", [1, 7, 17, 23])
def test_what_a_hook_does_is_done_once(make: Make, hook: type[Hook[Any]], batch: int) -> None:
    fields = SHORT | {"scheduler": ExponentialArgs(gamma=0.5), "early_stopping_patience": 5}
    whole = with_hooks(make(**fields), hook()).run(QUIETLY).run_dir
    run = stopped(with_hooks(make(**fields), hook(), StopAt(batch)))
    resume(with_hooks(make(**fields), hook()), run)
    assert_same_run(run, whole)
    assert artifacts(run) == artifacts(whole)


def test_random_numbers_go_on_between_epochs(make: Make) -> None:
    class KillAt(Hook[Any]):
        def on_epoch_start(self, loop: Any) -> None:
            if loop.epoch == 3:
                raise SystemExit

    fields = {"epochs": 3, "batch_size": 8}
    whole = with_hooks(make(**fields), Perturb()).run(QUIETLY).run_dir
    run = stopped(with_hooks(make(**fields), KillAt(), Perturb()))
    resume(with_hooks(make(**fields), Perturb()), run)
    assert_same_run(run, whole)


def test_run_killed_before_its_first_checkpoint_begins_with_the_weights_it_was_given(make: Make) -> None:
    class KillAt(Hook[Any]):
        def on_batch_end(self, loop: Any) -> None:
            raise SystemExit

    start = {"epochs": 1, "from_checkpoint": str(make().run(QUIETLY).run_dir)}
    whole = make(**start).run(QUIETLY).run_dir
    run = stopped(with_hooks(make(**start), KillAt()))
    resume(make(**start), run)
    assert_same_run(run, whole)


def test_training_that_was_told_to_stop_stays_stopped(make: Make) -> None:
    class StopAfterTwo(Hook[Any]):
        def on_epoch_end(self, loop: Any) -> None:
            if loop.epoch == 2:
                loop.stop("experiment")

    fields = {"epochs": 5, "batch_size": 8}
    whole = with_hooks(make(**fields), StopAfterTwo()).run(QUIETLY).run_dir
    experiment = with_hooks(make(**fields), StopAfterTwo())
    experiment.on_test_end = lambda: signal.raise_signal(signal.SIGTERM)
    run = stopped(experiment)
    resume(with_hooks(make(**fields), StopAfterTwo()), run)
    assert_same_run(run, whole)


def test_run_without_epochs_has_its_rows_once(make: Make) -> None:
    experiment = make(epochs=0)
    experiment.on_test_end = lambda: signal.raise_signal(signal.SIGTERM)
    run = stopped(experiment)
    resume(make(epochs=0), run)
    assert_same_run(run, make(epochs=0).run(QUIETLY).run_dir)


def test_signal_is_heard_between_epochs_that_have_no_batches(make: Make, points: Any) -> None:
    class InOneGo(points):
        def run_dataset(self) -> None:
            if not self.is_training:
                return super().run_dataset()
            self.dataset_metrics = {"loss": 1.0}
            if self.epoch == 2:
                signal.raise_signal(signal.SIGTERM)

    experiment = make(InOneGo, epochs=50)
    run = stopped(experiment)
    assert experiment.position.epoch == 2 and run.is_dir()


def test_result_with_a_number_that_is_none_is_read_back(make: Make) -> None:
    result = make(epochs=1).run(QUIETLY)
    values = result.to_json() | {"test": {"auc": None}, "plots": ["/elsewhere/picture.png"]}
    read = RunResult.from_json(values, Path("/moved"))
    assert read.test["auc"] != read.test["auc"] and "nan" in read.summary()
    assert read.run_dir == Path("/moved") and read.plots == [Path("/elsewhere/picture.png")]


def test_own_run_batch_is_resumed_where_it_was(make: Make, points: Any) -> None:
    class Own(points):
        def run_batch(self) -> None:
            batch = self.prepare_batch(self.batch, training=self.is_training)
            loss = self.train_batch(batch) if self.is_training else self.eval_batch(batch)
            self.batch_metrics["loss"], self.batch_weight = loss.value, loss.weight

    whole = make(Own, **SHORT).run(QUIETLY).run_dir
    run = stop_at(make(Own, **SHORT), 5)
    resume(make(Own, **SHORT), run)
    assert_same_run(run, whole)
