"""The training loop in time order: experiment -> epoch -> dataset -> batch.

for each epoch
    train on each training set, evaluate each validation set
    step the scheduler, record the epoch (history, checkpoint, plot), stop early
"""

import math
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import torch
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from labwright.args import ExperimentArgs

from .batch import Batch, Loss
from .early_stopping import BestTracker, EarlyStopping
from .loaders import Loader
from .seeding import rng_state

Results = dict[str, dict[str, float]]
"""split -> metric -> value."""


class Meter(Protocol):
    """Averages over a split: the loss and every metric."""

    def update(self, loss: Loss, batch: Batch) -> None: ...
    def compute(self) -> dict[str, float]: ...


class Trainee(Protocol):
    """What the loop asks of an experiment."""

    model: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: LRScheduler
    scheduler_interval: Literal["epoch", "step"]

    @property
    def args(self) -> ExperimentArgs: ...
    def prepare_batch(self, batch: Batch, *, training: bool) -> Batch: ...
    def train_batch(self, batch: Batch) -> Loss: ...
    def eval_batch(self, batch: Batch) -> Loss: ...
    def new_meter(self) -> Meter: ...
    def on_epoch_start(self, epoch: int) -> None: ...
    def on_epoch_end(self, epoch: int, results: Results) -> None: ...


class Recorder(Protocol):
    """What the loop tells the one who keeps the run's files and shows its progress."""

    def watch(self, loader: Loader, position: "Position", split: str) -> Iterable[Batch]: ...
    def step(self, position: "Position", values: dict[str, float]) -> None: ...
    def epoch(
        self,
        position: "Position",
        results: Results,
        state: Callable[[], dict[str, Any]],
        *,
        improved: bool,
    ) -> None: ...


class NonFiniteLoss(ArithmeticError):
    """The loss or a weight is NaN or infinite: nothing more can be learned, and nothing of it is kept."""


@dataclass
class Position:
    """How far the training has come; epochs and steps count from 1, 0 is before the first."""

    epoch: int = 0
    step: int = 0
    num_samples: int = 0
    """Training samples seen, in all epochs."""
    train_seconds: float = 0.0
    learning_rate: float = math.nan
    """That of the last optimizer step, of the first parameter group."""


@dataclass
class TrainLoop:
    """Trains `experiment` on `train_loaders`, watching `val_loaders`."""

    experiment: Trainee
    train_loaders: Mapping[str, Loader]
    val_loaders: Mapping[str, Loader]
    recorder: Recorder
    best: BestTracker
    best_metric: str | None
    """Full name of the metric that decides; None where there is nothing to decide by."""
    early_stopping: EarlyStopping | None = None
    log_every_n_steps: int = 50
    position: Position = field(default_factory=Position)

    @property
    def stopped_early(self) -> bool:
        return self.early_stopping is not None and self.early_stopping.should_stop

    def run(self) -> None:
        """Train for the experiment's epochs, or until early stopping has seen enough."""
        for epoch in range(self.position.epoch + 1, self.experiment.args.epochs + 1):
            self.run_epoch(epoch)
            if self.stopped_early:
                break

    def run_epoch(self, epoch: int) -> None:
        """One pass over every training set, then one over every validation set."""
        self.position.epoch = epoch
        self.experiment.on_epoch_start(epoch)
        results = {name: self.train_dataset(name, loader) for name, loader in self.train_loaders.items()}
        results |= self.evaluate(self.val_loaders)
        value = self._deciding_value(results)
        self._step_scheduler_per_epoch(value)
        improved = value is not None and self.best.update(value, epoch)
        if self.early_stopping is not None and value is not None:
            self.early_stopping.update(value)
        self.recorder.epoch(self.position, results, self.state_dict, improved=improved)
        self.experiment.on_epoch_end(epoch, results)

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next epoch depends on, in tensors and JSON values."""
        return {
            "model": self.experiment.model.state_dict(),
            "optimizer": self.experiment.optimizer.state_dict(),
            "scheduler": self.experiment.scheduler.state_dict(),
            "rng": rng_state(),
            "position": asdict(self.position),
            "best": self.best.state_dict(),
            "early_stopping": None if self.early_stopping is None else self.early_stopping.state_dict(),
        }

    def train_dataset(self, name: str, loader: Loader) -> dict[str, float]:
        """Train on one pass over `loader`; the metrics of the batches as they were trained on."""
        experiment, position = self.experiment, self.position
        experiment.model.train()
        meter = experiment.new_meter()
        loader.set_epoch(position.epoch)
        started, samples_before = time.perf_counter(), position.num_samples
        for batch in self.recorder.watch(loader, position, name):
            batch = experiment.prepare_batch(batch, training=True)
            loss = experiment.train_batch(batch)
            position.learning_rate = experiment.optimizer.param_groups[0]["lr"]
            if experiment.scheduler_interval == "step":
                experiment.scheduler.step()
            meter.update(loss, batch)
            position.step += 1
            position.num_samples += len(batch["input"])
            if position.step % self.log_every_n_steps == 0:
                value = float(loss.value)  # waits for the device, so that the time is that of the work
                self._log_step(name, value, (position.num_samples - samples_before) / (time.perf_counter() - started))
        metrics = meter.compute()
        position.train_seconds += time.perf_counter() - started
        if not math.isfinite(metrics["loss"]):
            raise NonFiniteLoss(f"the {name} loss is {metrics['loss']} in epoch {position.epoch}; {_ADVICE}")
        self._require_finite_weights()
        return metrics

    def _require_finite_weights(self) -> None:
        """The last step of an epoch may spoil the weights, and no loss has told yet: they must not be saved."""
        named = dict(self.experiment.model.named_parameters())
        finite = torch.stack([weights.isfinite().all() for weights in named.values()]).tolist() if named else []
        if not all(finite):
            broken = list(named)[finite.index(False)]
            raise NonFiniteLoss(f"{broken} is not finite after epoch {self.position.epoch}; {_ADVICE}")

    def evaluate(self, loaders: Mapping[str, Loader]) -> Results:
        """The metrics of each split, over the whole of it."""
        return {
            name: evaluate(self.experiment, self.recorder.watch(loader, self.position, name))
            for name, loader in loaders.items()
        }

    def _log_step(self, split: str, value: float, samples_per_second: float) -> None:
        values = {
            "loss": value,
            "learning_rate": self.position.learning_rate,
            "samples_per_second": samples_per_second,
        }
        self.recorder.step(self.position, values)
        if not math.isfinite(value):
            raise NonFiniteLoss(f"the {split} loss is {value} at step {self.position.step}; {_ADVICE}")

    def _deciding_value(self, results: Results) -> float | None:
        if self.best_metric is None:
            return None
        split, _, metric = self.best_metric.partition("/")
        return results[split][metric]

    def _step_scheduler_per_epoch(self, value: float | None) -> None:
        scheduler = self.experiment.scheduler
        if isinstance(scheduler, ReduceLROnPlateau):
            if value is not None:
                scheduler.step(value)
        elif self.experiment.scheduler_interval == "epoch":
            scheduler.step()


_ADVICE = "try a smaller learning rate, --gradient_clipping, or --detect_anomaly to find the operation behind it"


@torch.inference_mode()
def evaluate(experiment: Trainee, batches: Iterable[Batch]) -> dict[str, float]:
    """The loss and the metrics over all of `batches`, the model in evaluation mode."""
    experiment.model.eval()
    meter = experiment.new_meter()
    for batch in batches:
        batch = experiment.prepare_batch(batch, training=False)
        meter.update(experiment.eval_batch(batch), batch)
    return meter.compute()
