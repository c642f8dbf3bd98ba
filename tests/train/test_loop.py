"""The PyTorch loop: its order of events, early stopping, schedules, what it counts, and what it costs."""

import gc
import math
import tracemalloc
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR, ReduceLROnPlateau

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig, RunOptions, UserError
from labwright.datasets import Splits
from labwright.metrics import Metric
from labwright.session import run_state
from labwright.train import Batch, Loss, NonFiniteLoss

pytestmark = pytest.mark.usefixtures("no_pictures")


class Samples:
    """`count` samples whose input and target are their position, from `first` on."""

    def __init__(self, count: int, first: int = 0) -> None:
        self.count = count
        self.first = first

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input": torch.tensor([float(self.first + index)]), "target": torch.tensor([0.0])}


class Trainee(Experiment[ExperimentArgs]):
    """One weight, pulled to zero. Writes down what happens; `val_losses` are what validation finds, epoch by epoch."""

    num_samples = 10
    interval: Any = "epoch"
    val_losses: Iterable[float] = ()

    def build_datasets(self) -> Splits:
        self.events: list[str] = []
        self.found = iter(self.val_losses)
        train, val = {"train": Samples(self.num_samples)}, {"val": Samples(2, first=1000)}
        return Splits(train=train, val=val, test={}, name="positions", task="regression", num_outputs=1, fingerprint="")

    def build_model(self) -> torch.nn.Module:
        return torch.nn.Linear(1, 1, bias=False)

    def build_optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), lr=1e-3)

    def build_scheduler(self, optimizer: torch.optim.Optimizer, num_epochs: int, steps_per_epoch: int) -> Any:
        self.scheduler_interval = self.interval
        return LambdaLR(optimizer, lambda count: 0.5**count)

    def build_metrics(self) -> list[Metric]:
        return []

    def compute_loss(self, batch: Batch) -> Loss:
        return Loss(self.model(batch["input"] / 100).square().mean(), {}, len(batch["input"]))

    def train_batch(self, batch: Batch) -> Loss:
        assert self.model.training and torch.is_grad_enabled()
        self.events.append("train")
        return super().train_batch(batch)

    def eval_batch(self, batch: Batch) -> Loss:
        assert not self.model.training and torch.is_inference_mode_enabled()
        self.events.append("eval")
        return Loss(torch.tensor(next(self.found, 1.0)), {}, len(batch["input"]))

    def checkpoint(self) -> Any:
        self.events.append(f"record {self.epoch}")
        return super().checkpoint()

    def on_epoch_start(self) -> None:
        self.events.append(f"start {self.epoch}")

    def on_epoch_end(self) -> None:
        self.events.append(f"end {self.epoch}")


@pytest.fixture
def trained(tmp_path: Path) -> Callable[..., Trainee]:
    """A trainee that has run: `trained(epochs=3)`, or `trained(Subclass, epochs=3)`."""

    def run(
        kind: type[Trainee] = Trainee, *, log_every_n_steps: int = 50, batch_size: int = 4, **fields: Any
    ) -> Trainee:
        args = ExperimentArgs(experiment_id="trainee", batch_size=batch_size, **fields)
        experiment = kind(args, MachineConfig(results_dir=tmp_path, use_cuda=False))
        experiment.run(RunOptions(log_every_n_steps=log_every_n_steps, predictions="none"))
        return experiment

    return run


def with_losses(*losses: float) -> type[Trainee]:
    return type("Scripted", (Trainee,), {"val_losses": losses})


def rates(experiment: Trainee) -> list[float]:
    return [row["learning_rate"] for row in experiment.recorder.history.rows if row["split"] == "train"]


def test_an_epoch_trains_then_validates_then_is_recorded(trained: Callable[..., Trainee]) -> None:
    epoch = ["start {}", "train", "train", "train", "eval", "end {}", "record {}"]
    expected = [event.format(number) for number in (1, 2) for event in epoch]
    assert trained(epochs=2).events[: len(expected)] == expected


@pytest.mark.parametrize(
    ("losses", "patience", "delta", "epochs_trained"),
    [
        ([3, 2, 1, 0.5], 1, 0.0, 4),
        ([3, 2, 2, 1], 1, 0.0, 3),
        ([3, 4, 4, 2, 4, 4, 4], 2, 0.0, 3),
        ([3, 4, 2, 4, 3, 9, 9], 2, 0.0, 5),
        ([3, 4, 2, 4, 1, 9, 9], 2, 0.0, 7),
        ([3, 2.9, 2.8, 2.7], 2, 0.5, 3),
        ([3, 2.4, 2.3, 2.2], 2, 0.5, 4),
        ([3, math.nan, math.nan, 1], 2, 0.0, 3),
        ([1, 2, 3], None, 0.0, 3),
    ],
)
def test_training_stops_after_patience_epochs_in_a_row_without_improvement(
    trained: Callable[..., Trainee], losses: list[float], patience: int | None, delta: float, epochs_trained: int
) -> None:
    experiment = trained(
        with_losses(*losses), epochs=len(losses), early_stopping_patience=patience, early_stopping_delta=delta
    )
    assert experiment.position.epoch == epochs_trained
    stopping = experiment.early_stopping
    assert experiment.result.stopped_early == (stopping is not None and stopping.should_stop)


def test_best_epoch_is_the_first_of_equals(trained: Callable[..., Trainee]) -> None:
    experiment = trained(with_losses(3.0, 1.0, 1.0, 2.0), epochs=4)
    assert (experiment.best.epoch, experiment.best.value) == (2, 1.0)


def test_schedule_steps_per_epoch(trained: Callable[..., Trainee]) -> None:
    assert rates(trained(epochs=3)) == [1e-3, 5e-4, 2.5e-4]


def test_schedule_steps_per_optimizer_step(trained: Callable[..., Trainee]) -> None:
    class PerStep(Trainee):
        interval = "step"

    assert rates(trained(PerStep, epochs=2)) == [1e-3 / 2**2, 1e-3 / 2**5]  # of the last step


def test_schedule_by_steps_counts_windows_when_batches_are_accumulated(trained: Callable[..., Trainee]) -> None:
    class PerStep(Trainee):
        interval = "step"

    experiment = trained(PerStep, epochs=2, accumulate_batches=2)  # three batches: two windows, the second short
    assert experiment.position.step == 4 and rates(experiment) == [1e-3 / 2, 1e-3 / 2**3]


def test_plateau_is_told_the_deciding_metric(trained: Callable[..., Trainee]) -> None:
    class Plateau(with_losses(1.0, 2.0, 2.0, 2.0)):
        def build_scheduler(self, optimizer: torch.optim.Optimizer, num_epochs: int, steps_per_epoch: int) -> Any:
            return ReduceLROnPlateau(optimizer, factor=0.1, patience=1)

    assert rates(trained(Plateau, epochs=4)) == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])


def test_short_last_batch_counts_by_its_samples(trained: Callable[..., Trainee]) -> None:
    class Nine(Trainee):
        num_samples = 9

        def build_parts(self) -> None:
            super().build_parts()
            self.weight = next(self.model.parameters()).item()

    experiment = trained(Nine, epochs=1, batch_size=8)
    expected = sum((experiment.weight * index / 100) ** 2 for index in range(9)) / 9
    assert experiment.epoch_metrics["train"]["loss"] == pytest.approx(expected, rel=1e-4)


def test_steps_are_logged_every_n_and_counted_through_epochs(trained: Callable[..., Trainee]) -> None:
    from labwright.runs.durable import read_jsonl

    experiment = trained(epochs=3, log_every_n_steps=2)
    assert [row["step"] for row in read_jsonl(experiment.run_directory.steps_path)] == [2, 4, 6, 8]
    assert experiment.position.step == 9 and experiment.position.num_samples == 30


@pytest.mark.parametrize("log_every_n_steps", [1, 50])
def test_loss_that_is_not_finite_stops_before_it_is_recorded(
    trained: Callable[..., Trainee], log_every_n_steps: int
) -> None:
    seen: list[Trainee] = []

    class Exploding(Trainee):
        def train_batch(self, batch: Batch) -> Loss:
            seen.append(self)
            loss = super().train_batch(batch)
            return loss._replace(value=loss.value * math.inf)

    with pytest.raises(NonFiniteLoss, match="learning rate"):
        trained(Exploding, epochs=3, log_every_n_steps=log_every_n_steps)
    assert "record 1" not in seen[0].events and "eval" not in seen[0].events


def test_state_of_a_finished_epoch_is_everything_the_next_depends_on(trained: Callable[..., Trainee]) -> None:
    experiment = trained(epochs=2, early_stopping_patience=3)
    state = experiment.state_dict()
    assert state.keys() == {
        *("model", "returns_average", "optimizers", "schedulers", "stepper", "rng", "num_threads"),
    }
    run = run_state(experiment)
    assert run.keys() == {"position", "best", "early_stopping", "is_over", "progress", "num_rows"}
    assert run["position"]["epoch"] == 2 and run["best"] == {"value": 1.0, "epoch": 1} and run["progress"] is None


def test_values_that_a_batch_measures_besides_are_averaged_by_weight(trained: Callable[..., Trainee]) -> None:
    class Measuring(Trainee):
        def train_batch(self, batch: Batch) -> Loss:
            self.batch_metrics["size"] = torch.tensor(float(len(batch["input"])))
            return super().train_batch(batch)

    assert trained(Measuring, epochs=1).epoch_metrics["train"]["size"] == pytest.approx((4 * 4 + 4 * 4 + 2 * 2) / 10)


def test_stop_within_an_epoch_ends_it_cleanly(trained: Callable[..., Trainee]) -> None:
    class Stopping(Trainee):
        def on_batch_end(self) -> None:
            if self.position.step == 5:
                self.stop("experiment")

    experiment = trained(Stopping, epochs=9)
    assert experiment.position.step == 5 and experiment.events[-2:] == ["end 2", "record 2"]
    assert [row["split"] for row in experiment.recorder.history.rows] == ["train", "val", "train"]


@pytest.mark.slow
def test_memory_does_not_grow_with_epochs_or_steps(trained: Callable[..., Trainee]) -> None:
    in_use: list[tuple[int, int]] = []

    class Measured(Trainee):
        def checkpoint(self) -> Any:
            return None

        def on_epoch_start(self) -> None:
            self.events.clear()
            self.experiment_metrics.clear()
            self.recorder.history.rows.clear()
            if self.epoch in (120, 240):
                self.flush()
                gc.collect()
                in_use.append((len(gc.get_objects()), tracemalloc.get_traced_memory()[0]))

    tracemalloc.start()
    trained(Measured, epochs=240, log_every_n_steps=1)
    tracemalloc.stop()
    (objects, size), (objects_later, size_later) = in_use
    num_steps = 120 * 3
    assert objects_later - objects < 120 / 2, "something is kept in each epoch"
    assert size_later - size < num_steps * 200, "something is kept in each step"  # a loss weighs more


@pytest.mark.parametrize("level", ["dataset", "batch"])
def test_stop_before_anything_was_trained_on_is_no_broken_loss(trained: Callable[..., Trainee], level: Any) -> None:
    class Stopping(Trainee):
        def on_batch_start(self) -> None:
            if self.is_training:
                self.stop(level)

    experiment = trained(Stopping, epochs=1)
    assert experiment.position.step == 0
    assert experiment.epoch_metrics == {"train": {}, "val": {"loss": 1.0}}


def test_run_batch_may_be_replaced_whole(trained: Callable[..., Trainee]) -> None:
    class Own(Trainee):
        def run_batch(self) -> None:
            self.batch_metrics["loss"] = torch.tensor(float(len(self.batch["input"])))
            self.batch_weight = len(self.batch["input"])

    assert trained(Own, epochs=1).epoch_metrics["train"] == {"loss": pytest.approx((16 + 16 + 4) / 10)}


def test_setting_that_a_step_of_ones_own_leaves_without_effect_is_named(trained: Callable[..., Trainee]) -> None:
    class OwnStep(Trainee):
        def train_batch(self, batch: Batch) -> Loss:
            loss = self.compute_loss(batch)
            self.optimizer.zero_grad()
            loss.value.backward()
            self.optimizer.step()
            return loss.detach()

    assert trained(OwnStep, epochs=1).position.step == 3
    with pytest.raises(UserError, match="--ema_decay: OwnStep.train_batch takes its steps itself"):
        trained(OwnStep, epochs=1, ema_decay=0.5)


def test_loader_may_be_torchs_own(trained: Callable[..., Trainee]) -> None:
    class Torchs(Trainee):
        def build_loader(self, dataset: Any, name: str, *, training: bool) -> Any:
            return torch.utils.data.DataLoader(dataset, batch_size=5)

    experiment = trained(Torchs, epochs=2)
    assert experiment.position.step == 4 and experiment.position.num_samples == 20


def test_training_without_an_optimizer_is_refused_before_the_run(
    trained: Callable[..., Trainee], tmp_path: Path
) -> None:
    class Without(Trainee):
        def build_optimizers(self) -> dict[str, torch.optim.Optimizer]:
            return {}

    with pytest.raises(UserError, match="gives no optimizer"):
        trained(Without, epochs=1)
    assert not list(tmp_path.iterdir())
