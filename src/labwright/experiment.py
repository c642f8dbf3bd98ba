"""`Experiment`: composes parts into something that runs. The class you subclass.

Everything has a default that can be overridden alone:

    build_datasets -> build_model -> build_optimizer -> build_scheduler                      once, before the first step
    build_loader                                                                             for each dataset
    build_trackers                                                                           once, before the first step
    build_metrics                                                                            for each pass over a split
    prepare_batch -> train_batch (compute_loss, backward, step)                              for each training batch
    prepare_batch -> eval_batch (compute_loss)                                               for each other batch
    prepare_batch -> predict_batch                                                           after training
    on_experiment_start, on_epoch_start, on_epoch_end, on_test_end, on_experiment_end        when their name says
    store_model, plot                                                                        once, after training
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from labwright.args import ExperimentArgs, MachineConfig, RunOptions, UserError

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from labwright.datasets import Dataset, DatasetArgs, Splits
    from labwright.metrics import Metric, MetricSet
    from labwright.models import ModelArgs
    from labwright.optimizers import OptimizerArgs
    from labwright.runs import RunDirectory
    from labwright.runs.terminal import Terminal
    from labwright.schedulers import SchedulerArgs
    from labwright.session import Launch, Predictions, RunResult
    from labwright.trackers import Tracker
    from labwright.train import Batch, Loader, Loss

ArgsT = TypeVar("ArgsT", bound=ExperimentArgs)


class Experiment(Generic[ArgsT]):
    """An experiment described by its args. Making one touches no disk; `run()` acts.

    The parts come from the fields `model`, `dataset`, `optimizer` and `scheduler` of the args, where a `build_*`
    method is not overridden.
    """

    splits: "Splits"
    model: "nn.Module"
    optimizer: "Optimizer"
    scheduler: "LRScheduler"
    scheduler_interval: Literal["epoch", "step"] = "epoch"
    """When `scheduler.step()` is called: after each epoch or after each optimizer step."""
    device: "torch.device"
    best_metric: tuple[str, bool] | None
    """Full name of the metric that decides which epoch is best, and whether lower is better; None: nothing decides."""

    def __init__(self, args: ArgsT, machine: MachineConfig | None = None) -> None:
        self.args = args
        self.machine = machine or MachineConfig()

    def run(
        self,
        options: RunOptions | None = None,
        *,
        terminal: "Terminal | None" = None,
        launch: "Launch | None" = None,
    ) -> "RunResult":
        """Train, validate and test, and leave a run directory.

        Shows nothing unless given a `terminal`; `launch` says how the run was started, for its command.sh.

        Raises:
            UserError: the args, the data or the machine do not allow this run; nothing was written.
        """
        from labwright.session import run_session

        return run_session(cast("Experiment[ExperimentArgs]", self), options or RunOptions(), terminal, launch)

    # -- parts

    def build_datasets(self) -> "Splits":
        """The named training, validation and test sets."""
        part: DatasetArgs = self._part("dataset", "build_datasets")
        return part.build(self.machine.cache_dir)

    def build_model(self) -> "nn.Module":
        """The model, for the shape and number of outputs of `self.splits`."""
        part: ModelArgs = self._part("model", "build_model")
        return part.build(self.splits.input_shape, self.splits.num_outputs)

    def build_optimizer(self) -> "Optimizer":
        """The optimizer of `self.model`."""
        part: OptimizerArgs = self._part("optimizer", "build_optimizer")
        return part.build(part.param_groups(self.model))

    def build_scheduler(self, num_epochs: int, steps_per_epoch: int) -> "LRScheduler":
        """The learning rate's schedule, constant where the args have none.

        Set `self.scheduler_interval` to "step" for one that counts steps.
        """
        from labwright.schedulers import ConstantArgs, PlateauArgs

        part: SchedulerArgs = getattr(self.args, "scheduler", None) or ConstantArgs()
        self.scheduler_interval = part.interval
        if isinstance(part, PlateauArgs):
            if self.best_metric is None:
                raise UserError("--scheduler=plateau waits for a validation metric, and there is no validation set")
            return part.build(self.optimizer, num_epochs, steps_per_epoch, minimize=self.best_metric[1])
        return part.build(self.optimizer, num_epochs, steps_per_epoch)

    def build_metrics(self) -> "list[Metric]":
        """What is measured besides the loss: accuracy for classes, errors for numbers."""
        from labwright.metrics import metrics_for

        return metrics_for(self.splits.task)

    def build_trackers(self, options: RunOptions, warn: "Callable[[str], None]") -> "list[Tracker]":
        """Who hears of the run besides its directory; `warn` shows a line. A missing package is a UserError here."""
        trackers: list[Tracker] = []
        if options.use_wandb:
            from labwright.trackers import WandbTracker

            key = self.machine.wandb_api_key
            wandb = WandbTracker(
                project=self.machine.wandb_project or self.args.experiment_id,
                entity=self.machine.wandb_entity,
                api_key=key.get_secret_value() if key else None,
                warn=warn,
            )
            trackers.append(wandb)
        if options.use_tensorboard:
            from labwright.trackers import TensorBoardTracker

            trackers.append(TensorBoardTracker())
        return trackers

    def build_loader(self, dataset: "Dataset", name: str, *, training: bool) -> "Loader":
        """Batches of `dataset`; training batches in an order that follows from seed and epoch alone."""
        from labwright.train import build_loader

        return build_loader(
            dataset,
            self.args.batch_size,
            shuffle=training,
            seed=self.args.seed,
            num_workers=self.machine.num_workers,
            collate=None if type(self).collate is Experiment[Any].collate else self.collate,
            source=name,
            pin_memory=self.device.type == "cuda",
        )

    def collate(self, samples: "list[Any]") -> "Batch":
        """A batch from single samples.

        Overriding it means that samples are fetched one by one; a dataset that gives whole batches only is refused.
        """
        from labwright.train import stack

        return stack(samples)

    def _part(self, name: str, method: str) -> Any:
        part = getattr(self.args, name, None)
        if part is None:
            raise UserError(f"{type(self.args).__name__} has no `{name}`; add that field, or override {method}()")
        return part

    # -- batches

    def prepare_batch(self, batch: "Batch", *, training: bool) -> "Batch":
        """The batch on the device; training inputs with the noise that the args ask for."""
        from labwright.train import add_noise, to_device

        batch = to_device(batch, self.device, non_blocking=True)
        if training and (self.args.white_noise_sd or self.args.constant_offset_sd):
            batch["input"] = add_noise(batch["input"], self.args.white_noise_sd, self.args.constant_offset_sd)
        return batch

    def compute_loss(self, batch: "Batch") -> "Loss":
        """Cross-entropy for classes, mean squared error for numbers.

        `input` is [samples, ...], `target` is int64 [samples] for classes, float [samples, columns] for numbers. The
        outputs `logits` [samples, classes] or `prediction` [samples, columns] are what the stock metrics and
        `predict_batch` know; with other outputs override `build_metrics` and, to see predictions, `predict_batch`.
        """
        from torch.nn import functional as F

        from labwright.train import Loss

        outputs, target = self.model(batch["input"]), batch["target"]
        if self.splits.task == "classification":
            return Loss(F.cross_entropy(outputs, target), {"logits": outputs}, len(target))
        return Loss(F.mse_loss(outputs, target), {"prediction": outputs}, len(target))

    def train_batch(self, batch: "Batch") -> "Loss":
        """One optimizer step on `batch`."""
        from labwright.train import clip_gradients

        self.optimizer.zero_grad(set_to_none=True)
        loss = self.compute_loss(batch)
        loss.value.backward()  # pyright: ignore[reportUnknownMemberType]
        if self.args.gradient_clipping is not None:
            clip_gradients(self.model.parameters(), self.args.gradient_clipping)
        self.optimizer.step()
        return loss.detach()

    def eval_batch(self, batch: "Batch") -> "Loss":
        """The loss of a batch that is not trained on; gradients are off, the model is in evaluation mode."""
        return self.compute_loss(batch)

    def predict_batch(self, batch: "Batch") -> "dict[str, torch.Tensor]":
        """Decoded predictions, one per sample: `prediction`, and `confidence` for classes. Empty: none to show."""
        outputs = self.eval_batch(batch).outputs
        if "logits" in outputs:
            confidence, prediction = outputs["logits"].softmax(dim=-1).max(dim=-1)
            return {"prediction": prediction, "confidence": confidence}
        return {"prediction": outputs["prediction"]} if "prediction" in outputs else {}

    def new_meter(self) -> "MetricSet":
        """Fresh averages of the loss and every metric, for one pass over a split."""
        from labwright.metrics import MetricSet

        return MetricSet(self.build_metrics())

    # -- events and results

    def on_experiment_start(self, run: "RunDirectory") -> None:
        """The run directory exists, nothing is trained yet."""

    def on_epoch_start(self, epoch: int) -> None:
        """Epoch `epoch` (from 1) begins."""

    def on_epoch_end(self, epoch: int, results: dict[str, dict[str, float]]) -> None:
        """The epoch's metrics (split -> metric -> value) are recorded."""

    def on_test_end(self, results: dict[str, dict[str, float]]) -> None:
        """The metrics of each test set, with the weights that the run returns."""

    def on_experiment_end(self, result: "RunResult") -> None:
        """Everything is written."""

    def store_model(self, path: Path) -> None:
        """Write the weights that the run returns to `path` (safetensors)."""
        from labwright.runs import write_durably
        from labwright.train import model_bytes

        write_durably(path, model_bytes(self.model))

    def plot(self, run: "RunDirectory", predictions: "dict[str, Predictions]") -> list[Path]:
        """Draw pictures of the predictions (split -> predictions) into the run directory; the files drawn."""
        from labwright.session import plot_predictions

        return plot_predictions(run, self.splits, predictions)
