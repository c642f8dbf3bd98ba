"""`Experiment`: composes parts into something that trains with PyTorch. The class you subclass.

Everything has a default that can be overridden alone:

    build_datasets -> build_model -> build_optimizers -> build_schedulers                   once, before the first step
    build_loader                                                                            for each dataset
    build_trackers, build_hooks                                                             once, before the first step
    build_metrics                                                                           for each pass over a split
    prepare_batch (augment_batch) -> train_batch (forward, compute_loss, backward, step)    for each training batch
    prepare_batch -> eval_batch (forward, compute_loss)                                     for each other batch
    prepare_batch -> predict_batch (forward)                                                after training
    run_experiment, run_epoch, run_dataset, run_batch                                       the rungs of the loop
    on_experiment_start, on_epoch_start, ..., on_test_end, on_experiment_end, on_exception  when their name says
    store_model, plot                                                                       once, after training

`labwright.bare.BareExperiment` holds what does not need PyTorch, `labwright.train.loop.TrainLoop` the passes.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, cast

from labwright import train as training_room
from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.bare import BareExperiment
from labwright.train.loop import TrainLoop

if TYPE_CHECKING:
    import torch
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from labwright.datasets import Augmentation, Dataset, DatasetArgs, Draws, Splits
    from labwright.metrics import Metric, MetricSet
    from labwright.models import ModelArgs
    from labwright.optimizers import OptimizerArgs
    from labwright.runs import RunDirectory
    from labwright.schedulers import SchedulerArgs
    from labwright.session import Predictions
    from labwright.train import Batch, Loader, Loss, Placement

T = TypeVar("T")
ArgsT = TypeVar("ArgsT", bound=ExperimentArgs)


class Experiment(TrainLoop, BareExperiment[ArgsT]):
    """An experiment described by its args. Making one touches no disk; `run()` acts.

    The parts come from the fields `model`, `dataset`, `optimizer` and `scheduler` of the args, where a `build_*`
    method is not overridden.
    """

    uses: ClassVar[frozenset[str]] = frozenset({*ExperimentArgs.model_fields, *RunOptions.model_fields})
    placement: "Placement | None" = None
    """Moves datasets to the device, where `--dataset.on_device` lets it."""
    augmentation: "Augmentation | None" = None
    """Changes training batches, where `args.augment` says how."""

    @property
    def optimizer(self) -> "Optimizer":
        """The first of the optimizers; most experiments have no other."""
        return next(iter(self.optimizers.values()))

    # -- parts

    def build_parts(self) -> None:
        """The device, the model, its loaders, optimizers, schedulers and stepper."""
        from labwright.session import build_torch_parts

        build_torch_parts(cast("Experiment[ExperimentArgs]", self))

    def build_datasets(self) -> "Splits":
        """The named training, validation and test sets."""
        part: DatasetArgs = self._part("dataset", "build_datasets")
        return part.build(self.machine.cache_dir)

    def build_model(self) -> "nn.Module":
        """The model, for the shape and number of outputs of `self.splits`. Several models: one `nn.ModuleDict`."""
        part: ModelArgs = self._part("model", "build_model")
        if not self.splits.num_outputs:
            raise UserError(
                f"{self.splits.name} does not say num_outputs; give it to its Splits, or override build_model()"
            )
        return part.build(self.splits.input_shape, self.splits.num_outputs)

    def build_optimizers(self) -> "dict[str, Optimizer]":
        """The optimizers by name; a GAN has two."""
        return {"optimizer": self.build_optimizer()}

    def build_optimizer(self) -> "Optimizer":
        """The optimizer of `self.model`."""
        part: OptimizerArgs = self._part("optimizer", "build_optimizer")
        return part.build(part.param_groups(self.model))

    def build_schedulers(self, num_epochs: int, steps_per_epoch: int) -> "dict[str, LRScheduler]":
        """The learning rate's schedule of each optimizer, by the optimizer's name."""
        return {
            name: self.build_scheduler(optimizer, num_epochs, steps_per_epoch)
            for name, optimizer in self.optimizers.items()
        }

    def build_scheduler(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LRScheduler":
        """The learning rate's schedule, constant where the args have none.

        Set `self.scheduler_interval` to "step" for one that counts steps.
        """
        from labwright.schedulers import ConstantArgs, PlateauArgs

        part: SchedulerArgs = getattr(self.args, "scheduler", None) or ConstantArgs()
        self.scheduler_interval = part.interval
        if isinstance(part, PlateauArgs):
            if self.best_metric is None:
                raise UserError("--scheduler=plateau waits for a validation metric, and there is no validation set")
            return part.build(optimizer, num_epochs, steps_per_epoch, minimize=self.best_metric[1])
        return part.build(optimizer, num_epochs, steps_per_epoch)

    def build_metrics(self) -> "list[Metric]":
        """What is measured besides the loss: what `--metrics` names, else what the task suggests."""
        from labwright.metrics import build_metrics, metrics_for

        if not self.args.metrics:
            if self.args.metric_inputs:
                raise UserError("--metric_inputs says what the metrics of --metrics read; choose some")
            return metrics_for(self.splits.task, threshold=self.threshold)
        return build_metrics(
            self.args.metrics,
            num_outputs=self.splits.num_outputs,
            inputs=self.args.metric_inputs,
            threshold=self.threshold,
            class_names=self.splits.class_names,
        )

    def metric_directions(self) -> dict[str, bool]:
        return {"loss": False} | {metric.name: metric.higher_is_better for metric in self.build_metrics()}

    def build_loader(self, dataset: "Dataset", name: str, *, training: bool) -> "Loader":
        """Batches of `dataset`; training batches in an order that follows from seed and epoch alone."""
        from labwright.train import build_loader

        is_collated = type(self).collate is not Experiment[Any].collate
        if is_collated and self.placement is not None and self.placement.on_device is True:
            raise UserError("--dataset.on_device=true: collate takes single samples from main memory; leave it out")
        if self.placement is not None and not is_collated:
            dataset = self.placement.place(dataset, name)
            self.chosen["on_device"] = self.placement.names
        return build_loader(
            dataset,
            self.args.batch_size,
            shuffle=training,
            seed=self.args.seed,
            num_workers=self.machine.num_workers,
            collate=self.collate if is_collated else None,
            source=name,
            device=self.device,
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
        """The batch on the device; training inputs changed and with noise as the args ask for it."""
        batch = training_room.to_device(batch, self.device, non_blocking=True)
        if training:
            batch = self.augment_batch(batch)
        if training and (self.args.white_noise_sd or self.args.constant_offset_sd):
            from labwright.train import add_noise

            batch["input"] = add_noise(batch["input"], self.args.white_noise_sd, self.args.constant_offset_sd)
        return batch

    def augment_batch(self, batch: "Batch") -> "Batch":
        """A training batch on the device, changed as a field `augment: AugmentArgs` of the args says.

        Masks move with their images; where pairs of samples are mixed, `target` has a share of each class.
        """
        if self.augmentation is None:
            return batch
        from labwright.session.augmenting import augmented

        return augmented(cast("Experiment[ExperimentArgs]", self), self.augmentation, batch)

    def draws_for(self, batch: "Batch") -> "Draws":
        """Random numbers for the samples of a training batch, which follow from seed, epoch and sample alone."""
        from labwright.session.augmenting import draws_for

        return draws_for(cast("Experiment[ExperimentArgs]", self), batch)

    def forward(self, batch: "Batch") -> Any:
        """What the model makes of `batch["input"]`."""
        return self.model(batch["input"])

    def compute_loss(self, batch: "Batch") -> "Loss":
        """Cross-entropy for classes, mean squared error for numbers, of what `forward` gives.

        `input` is [samples, ...], `target` is int64 [samples] for classes, float [samples, columns] for numbers. The
        outputs `logits` [samples, classes] or `prediction` [samples, columns] are what the stock metrics and
        `predict_batch` know; with other outputs override `build_metrics` and, to see predictions, `predict_batch`.
        """
        loss = training_room.stock_loss(self.splits.task, self.forward(batch), batch["target"])
        if loss is None:
            task = self.splits.task
            raise UserError(f"the task of {self.splits.name} is {task}; override compute_loss() for its loss")
        return loss

    def train_batch(self, batch: "Batch") -> "Loss":
        """Forward, loss, backward and, where the batch closes its window of accumulation, an optimizer step."""
        with self.stepper.forward(self.model):
            alone = self.parallel_model is None
            loss = self.compute_loss(batch) if alone else self.parallel(self.compute_loss, batch)
        if not hasattr(loss, "outputs"):
            raise self._no_loss(loss)
        self.backward(loss)
        self.step()
        return loss.detach()

    def parallel(self, function: "Callable[..., T]", *args: Any) -> "T":
        """`function(*args)`, such that the gradients of what it gives are those of all ranks.

        A `train_batch` of your own computes its loss through it; alone it is a plain call.
        """
        if self.parallel_model is None:
            return function(*args)
        assert self.stepper.ranks is not None
        self.stepper.ranks.was_called = True
        if not self.stepper.is_within_window:
            self.parallel_model.drop_gradients()
        self.parallel_model.hold_gradients(not self.stepper.closes_window)
        return self.parallel_model(function, *args)

    def backward(self, loss: "Loss") -> None:
        """Add the gradients of the loss to those of its window."""
        self.stepper.backward(loss.value, self.optimizer, weight=loss.weight)

    def step(self) -> None:
        """Apply the window's gradients if the batch in hand closes it: unscale, clip, step, zero, average."""
        self.stepper.step(self.optimizer)

    def eval_batch(self, batch: "Batch") -> "Loss":
        """The loss of a batch that is not trained on; gradients are off, the model is in evaluation mode."""
        with self.stepper.forward(self.model):
            loss = self.compute_loss(batch)
        if not hasattr(loss, "outputs"):
            raise self._no_loss(loss)
        return loss

    def _no_loss(self, value: object) -> UserError:
        """What to say of a loss that is none: a tensor alone is the likeliest slip of who comes from elsewhere."""
        return UserError(
            f"{type(self).__name__}.compute_loss must return a Loss(value, outputs, weight) of labwright.train, "
            f"not a {type(value).__name__}"
        )

    def predict_batch(self, batch: "Batch") -> "dict[str, torch.Tensor]":
        """Decoded predictions, one per sample: `prediction`, and `confidence` and `probability` for classes.

        They come from the outputs of `eval_batch`, or of `forward` where the batch has no target. Empty: none to show.
        """
        from labwright.session import decode

        if "target" in batch:
            return decode(self.eval_batch(batch).outputs, self.threshold)
        with self.stepper.forward(self.model):
            outputs = self.forward(batch)
        if not isinstance(outputs, dict):
            outputs = {"logits" if self.splits.task == "classification" else "prediction": outputs}
        return decode(cast("dict[str, torch.Tensor]", outputs), self.threshold)

    def new_meter(self) -> "MetricSet":
        """Fresh averages of the loss and every metric, for one pass over a split."""
        from labwright.metrics import MetricSet

        return MetricSet(self.build_metrics())

    def train(self) -> None:
        """All epochs, or those up to an early stop; `--detect_anomaly` watches every operation."""
        import torch

        if self.rng_before is not None:
            from labwright.train import set_rng_state

            set_rng_state(self.rng_before)
        with torch.autograd.set_detect_anomaly(self.options.detect_anomaly):
            super().train()

    def choose_threshold(self) -> None:
        """Set `self.threshold`: to what is best on the deciding validation sets, where `threshold_metric` says so.

        Else, when the weights of a run are tested or predicted with, to the one that this run chose.
        """
        from labwright.session import choose_threshold, recorded_threshold

        me = cast("Experiment[ExperimentArgs]", self)
        metric = self.args.threshold_metric
        self.threshold = self.world.same(recorded_threshold(me) if metric is None else choose_threshold(me, metric))

    def averaged_model(self) -> AbstractContextManager[Any]:
        """Within, the model has the average of its weights, where there is one and the args want it used."""
        if self.ema is None or not self.args.use_ema_weights:
            return nullcontext()
        return self.ema.applied(self.model)

    def whole_model(self) -> AbstractContextManager[Any]:
        """Within, this rank has the whole model to evaluate with, where ranks share its weights; all ranks enter it."""
        return nullcontext() if self.parallel_model is None else self.parallel_model.whole()

    def computing(self) -> AbstractContextManager[None]:
        from labwright.session.acceleration import computing

        return computing(cast("Experiment[ExperimentArgs]", self))

    # -- state

    def seed_everything(self, seed: int) -> None:
        """Seed Python, NumPy and torch on every device."""
        from labwright.train import seed_everything

        seed_everything(seed)

    def state_dict(self) -> dict[str, Any]:
        """What the next step depends on, in tensors and JSON values."""
        from labwright.session import torch_state

        return torch_state(cast("Experiment[ExperimentArgs]", self))

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Return to a state that `state_dict` gave, to train on; override both for what else must survive a kill."""
        from labwright.session import load_torch_state

        load_torch_state(cast("Experiment[ExperimentArgs]", self), state)

    def encode_state(self, state: dict[str, Any]) -> Any:
        """The state as the content of a safetensors file."""
        from labwright.train.checkpoint import state_file

        try:
            return state_file({key: state[key] for key in state if key != "shards"}, state.get("shards"))
        except TypeError as error:
            raise UserError(
                f"a checkpoint cannot hold {error}; give tensors and JSON values in state_dict()"
            ) from error

    def decode_state(self, path: Path) -> dict[str, Any]:
        """The state in a safetensors file, its tensors on the CPU."""
        from labwright.session import restored

        return restored(cast("Experiment[ExperimentArgs]", self), path)

    def whole_state(self, state: dict[str, Any]) -> dict[str, Any]:
        """The state with the parts of all ranks, on rank 0; `--sharded_checkpoints` leaves them in files of each."""
        from labwright.session import whole

        return whole(cast("Experiment[ExperimentArgs]", self), state)

    def load_checkpoint(self, path: Path) -> None:
        """Give the model the weights that this epoch was validated with: the average's, where that is used."""
        from labwright.session import load_returned_weights

        load_returned_weights(cast("Experiment[ExperimentArgs]", self), path)

    def keep_last_state(self) -> None:
        """Give the model the average of its weights, where that is used."""
        if self.ema is not None and self.args.use_ema_weights:
            self.ema.copy_to(self.model)
            self.ema = None

    def store_model(self, path: Path) -> None:
        """Write the weights that the run returns to `path` (safetensors)."""
        from labwright.runs import write_durably
        from labwright.train import model_bytes

        content = model_bytes(self.model)  # by all ranks, where each has a part of it
        if self.world.is_main:
            write_durably(path, content)

    # -- results

    def build_inputs(self, path: Path) -> "Dataset":
        """The samples in a folder or file, to predict, as the `dataset` part reads them."""
        part: DatasetArgs = self._part("dataset", "build_inputs")
        return part.open_inputs(path, self.splits)

    def predict(self, name: str) -> "Predictions | None":
        """Decoded predictions for each sample of a dataset, in its order, with the weights as they are."""
        from labwright.session import predict

        return predict(cast("Experiment[ExperimentArgs]", self), name)

    def plot(self, run: "RunDirectory", predictions: "dict[str, Predictions]") -> list[Path]:
        """Draw pictures of the predictions (split -> predictions) into the run directory; the files drawn."""
        from labwright.session import plot_predictions

        return plot_predictions(run, self.splits, predictions)

    def plot_batches(self) -> list[Path]:
        """histogram_<metric>.png: each metric over the batches of every split, with the weights as they are."""
        from labwright.session import plot_histograms

        return plot_histograms(cast("Experiment[ExperimentArgs]", self))

    def close_loaders(self) -> None:
        """End the worker processes."""
        from labwright.train import Loader

        for loader in self.loaders.values():
            if isinstance(loader, Loader):
                loader.close()

    def device_name(self) -> str:
        """The device in words: "cuda (NVIDIA H200)"."""
        from labwright.train import describe

        return describe(self.device)

    def memory(self) -> int | None:
        """The most bytes of memory used so far, on the accelerator if there is one."""
        from labwright.train import peak_memory_bytes

        return peak_memory_bytes(self.device)
