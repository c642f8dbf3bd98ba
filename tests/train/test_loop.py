"""The loop's order of events, early stopping, schedules, and what it costs."""

import gc
import math
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

from labwright.args import ExperimentArgs
from labwright.metrics import MetricSet
from labwright.train import (
    Batch,
    BestTracker,
    EarlyStopping,
    Loader,
    Loss,
    NonFiniteLoss,
    TrainLoop,
    build_loader,
)


class Samples:
    """`count` samples whose input and target are their position."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input": torch.tensor([float(index)]), "target": torch.tensor([0.0])}


class Trainee:
    """One weight, pulled to zero. Writes down what happens; `val_losses` are what validation finds, epoch by epoch."""

    def __init__(self, epochs: int, val_losses: Iterable[float] = (), interval: Any = "epoch") -> None:
        self.args = ExperimentArgs(epochs=epochs)
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-3)
        self.scheduler: LRScheduler = LambdaLR(self.optimizer, lambda count: 0.5**count)
        self.scheduler_interval = interval
        self.val_losses = iter(val_losses)
        self.events: list[str] = []

    def prepare_batch(self, batch: Batch, *, training: bool) -> Batch:
        return batch

    def train_batch(self, batch: Batch) -> Loss:
        assert self.model.training and torch.is_grad_enabled()
        self.events.append("train")
        self.optimizer.zero_grad()
        loss = self.model(batch["input"] / 100).square().mean()
        loss.backward()
        self.optimizer.step()
        return Loss(loss, {}, len(batch["input"])).detach()

    def eval_batch(self, batch: Batch) -> Loss:
        assert not self.model.training and torch.is_inference_mode_enabled()
        self.events.append("eval")
        return Loss(torch.tensor(next(self.val_losses, 1.0)), {}, len(batch["input"]))

    def new_meter(self) -> MetricSet:
        return MetricSet([])

    def on_epoch_start(self, epoch: int) -> None:
        self.events.append(f"start {epoch}")

    def on_epoch_end(self, epoch: int, results: Any) -> None:
        self.events.append(f"end {epoch}")


class Recorder:
    """Keeps what the loop tells, as far as `keeps` says so."""

    def __init__(self, trainee: Trainee) -> None:
        self.trainee = trainee
        self.epochs: list[dict[str, Any]] = []
        self.steps: list[tuple[int, dict[str, float]]] = []

    def watch(self, loader: Loader, position: Any, split: str) -> Iterable[Batch]:
        return loader

    def step(self, position: Any, values: dict[str, float]) -> None:
        self.steps.append((position.step, values))

    def epoch(self, position: Any, results: Any, state: Any, *, improved: bool) -> None:
        self.trainee.events.append(f"record {position.epoch}")
        self.epochs.append({"results": results, "improved": improved, "learning_rate": position.learning_rate})


class Forgetful(Recorder):
    """Looks at the state as a checkpoint would, and keeps nothing."""

    def step(self, position: Any, values: dict[str, float]) -> None: ...

    def epoch(self, position: Any, results: Any, state: Any, *, improved: bool) -> None:
        state()


@pytest.fixture
def loop() -> Callable[..., TrainLoop]:
    def build(
        trainee: Trainee,
        num_samples: int = 10,
        batch_size: int = 4,
        *,
        recorder: type[Recorder] = Recorder,
        **options: Any,
    ) -> TrainLoop:
        train = build_loader(Samples(num_samples), batch_size, shuffle=True, seed=0)
        val = build_loader(Samples(2), 2, shuffle=False, seed=0)
        best = BestTracker(minimize=True)
        return TrainLoop(trainee, {"train": train}, {"val": val}, recorder(trainee), best, "val/loss", **options)

    return build


def test_an_epoch_trains_then_validates_then_is_recorded(loop: Callable[..., Any]) -> None:
    trainee = Trainee(epochs=2)
    loop(trainee).run()
    epoch = ["start {}", "train", "train", "train", "eval", "record {}", "end {}"]
    assert trainee.events == [event.format(number) for number in (1, 2) for event in epoch]


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
    loop: Callable[..., Any], losses: list[float], patience: int | None, delta: float, epochs_trained: int
) -> None:
    stopping = None if patience is None else EarlyStopping(patience, minimize=True, delta=delta)
    trained = loop(Trainee(len(losses), losses), early_stopping=stopping)
    trained.run()
    assert trained.position.epoch == epochs_trained
    assert trained.stopped_early == (epochs_trained < len(losses) or (stopping is not None and stopping.should_stop))


def test_best_epoch_is_the_first_of_equals(loop: Callable[..., Any]) -> None:
    trained = loop(Trainee(4, [3.0, 1.0, 1.0, 2.0]))
    trained.run()
    assert (trained.best.epoch, trained.best.value) == (2, 1.0)
    assert [row["improved"] for row in trained.recorder.epochs] == [True, True, False, False]


def test_schedule_steps_per_epoch(loop: Callable[..., Any]) -> None:
    trained = loop(Trainee(3))
    trained.run()
    assert [row["learning_rate"] for row in trained.recorder.epochs] == [1e-3, 5e-4, 2.5e-4]


def test_schedule_steps_per_optimizer_step(loop: Callable[..., Any]) -> None:
    trained = loop(Trainee(2, interval="step"))
    trained.run()
    assert [row["learning_rate"] for row in trained.recorder.epochs] == [1e-3 / 2**2, 1e-3 / 2**5]  # of the last step


def test_plateau_is_told_the_deciding_metric(loop: Callable[..., Any]) -> None:
    trainee = Trainee(4, [1.0, 2.0, 2.0, 2.0])
    trainee.scheduler = ReduceLROnPlateau(trainee.optimizer, factor=0.1, patience=1)
    trained = loop(trainee)
    trained.run()
    assert [row["learning_rate"] for row in trained.recorder.epochs] == pytest.approx([1e-3, 1e-3, 1e-3, 1e-4])


def test_short_last_batch_counts_by_its_samples(loop: Callable[..., Any]) -> None:
    trainee = Trainee(1)
    weight = trainee.model.weight.item()
    trained = loop(trainee, num_samples=9, batch_size=8)
    trained.run()
    expected = sum((weight * index / 100) ** 2 for index in range(9)) / 9
    assert trained.recorder.epochs[0]["results"]["train"]["loss"] == pytest.approx(expected, rel=1e-4)


def test_steps_are_logged_every_n_and_counted_through_epochs(loop: Callable[..., Any]) -> None:
    trained = loop(Trainee(3), log_every_n_steps=2)
    trained.run()
    assert [step for step, _ in trained.recorder.steps] == [2, 4, 6, 8]
    assert trained.position.step == 9 and trained.position.num_samples == 30


@pytest.mark.parametrize("log_every_n_steps", [1, 50])
def test_loss_that_is_not_finite_stops_before_it_is_recorded(loop: Callable[..., Any], log_every_n_steps: int) -> None:
    class Exploding(Trainee):
        def train_batch(self, batch: Batch) -> Loss:
            loss = super().train_batch(batch)
            return loss._replace(value=loss.value * math.inf)

    trainee = Exploding(3)
    with pytest.raises(NonFiniteLoss, match="learning rate"):
        loop(trainee, log_every_n_steps=log_every_n_steps).run()
    assert "record 1" not in trainee.events and "eval" not in trainee.events


def test_state_of_a_finished_epoch_is_everything_the_next_depends_on(loop: Callable[..., Any]) -> None:
    trained = loop(Trainee(2), early_stopping=EarlyStopping(3, minimize=True))
    trained.run()
    state = trained.state_dict()
    assert state.keys() == {"model", "optimizer", "scheduler", "rng", "position", "best", "early_stopping"}
    assert state["position"]["epoch"] == 2 and state["best"] == {"value": 1.0, "epoch": 1}


def test_memory_does_not_grow_with_epochs_or_steps(loop: Callable[..., Any]) -> None:
    in_use: list[tuple[int, int]] = []

    class Measured(Trainee):
        def on_epoch_start(self, epoch: int) -> None:
            if epoch in (120, 240):
                gc.collect()
                in_use.append((len(gc.get_objects()), tracemalloc.get_traced_memory()[0]))

    trainee = Measured(240)
    trainee.events = Nothing()
    training = loop(trainee, recorder=Forgetful, log_every_n_steps=1)
    tracemalloc.start()
    training.run()
    tracemalloc.stop()
    (objects, size), (objects_later, size_later) = in_use
    num_steps = 120 * 3
    assert objects_later - objects < 120 / 2, "something is kept in each epoch"
    assert size_later - size < num_steps * 200, "something is kept in each step"  # a loss weighs more


class Nothing(list[str]):
    """A list that stays empty."""

    def append(self, item: str) -> None: ...
