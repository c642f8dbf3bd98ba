"""The PyTorch rungs of the loop: what a pass over a dataset and a batch are. No torch until one begins.

train   batch -> prepare_batch -> train_batch (forward, loss, backward, step) -> meter
else    batch -> prepare_batch -> eval_batch (forward, loss) -> meter
"""

import math
import time
import warnings
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from labwright.args.errors import UserError

from .nonfinite import ADVICE, NonFiniteLoss
from .passes import PassLoop
from .worker_errors import BatchOverdue

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LRScheduler

    from .batch import Batch, Loss
    from .ema import EMA
    from .fingerprints import Fingerprinter
    from .freed_memory import FreedMemory
    from .position import Position


_STEPPER_SETTINGS = (
    "accumulate_batches",
    "ema_decay",
    "gradient_clipping",
    "gradient_clipping_value",
    "max_skipped_steps",
    "precision",
)
"""The args that the stepper carries out."""


class TrainLoop(PassLoop):
    """Trains `model` on the datasets that `is_training`, and evaluates it on the others."""

    model: "nn.Module"
    optimizers: "dict[str, Optimizer]"
    schedulers: "dict[str, LRScheduler]"
    scheduler_interval: Literal["epoch", "step"] = "epoch"
    """When the schedulers step: after each epoch or after each optimizer step."""
    fingerprinter: "Fingerprinter | None" = None
    """Takes the fingerprint of each step, from the first one on."""
    freed_memory: "FreedMemory | None" = None
    """What is kept of it for the next step."""
    ema: "EMA | None" = None
    position: "Position"
    log_every_n_steps: int = 50
    batch_loss: "Loss | None" = None
    """What the batch in hand came to; None until `run_batch` has said it."""
    rng_before: Any = None
    """Where the random numbers of a pass go on that is taken up where it was interrupted."""
    _started: float
    _samples_before: int
    _is_between_steps: bool = True
    _trains: bool = False
    """Whether the pass in hand trains."""
    _is_read_at_once: bool = False
    """Whether each step is known to be good before the next."""
    _samples_at_work: list[tuple[int, Any, Any]]
    """Step, index and source of each batch whose step has not been found good yet."""

    if TYPE_CHECKING:  # what an experiment adds

        def changed_args(self) -> list[str]: ...

        @property
        def is_training(self) -> bool: ...
        @property
        def optimizer(self) -> Optimizer: ...
        def prepare_batch(self, batch: Batch, *, training: bool) -> Batch: ...
        def train_batch(self, batch: Batch) -> Loss: ...
        def eval_batch(self, batch: Batch) -> Loss: ...
        def averaged_model(self) -> Any: ...
        def whole_model(self) -> Any: ...

    def batches(self, dataset: Any) -> "Iterable[Batch]":
        """The loader's batches; when training looked ahead at, so that the last of an accumulated window is known."""
        batches = super().batches(dataset if self._num_batches == 0 else self._remaining(dataset))
        return self.stepper.each(batches) if self.is_training else batches

    def _remaining(self, dataset: Any) -> "Iterable[Batch]":
        """What is left of a pass that was interrupted; random numbers go on as they were after the last batch."""
        from .seeding import set_rng_state

        num_skipped = self._num_batches
        if hasattr(dataset, "start_at"):
            dataset.start_at(self._num_batches)
            num_skipped = 0
        batches = iter(dataset)
        for _ in islice(batches, num_skipped):
            pass
        ahead = list(islice(batches, int(self.stepper.accumulate_batches > 1)))  # what `each` had looked at by then
        set_rng_state(self.rng_before)
        yield from ahead
        yield from batches

    def run_dataset(self) -> None:
        """One pass: training, or evaluation without gradients. `loss` and every metric are of the whole of it."""
        if self._is_stopped_by_any("dataset"):
            return
        self.meter, self._num_measured, self._num_batches, self._samples_at_work = self.new_meter(), 0, 0, []
        self._is_between_steps, self._num_artifacts = True, self.artifacts.counts()
        self._trains, self._is_read_at_once = self.is_training, self.device.type == "cpu"
        if hasattr(self.dataset, "should_stop") and self.world.size == 1:  # of several ranks none leaves alone
            self.dataset.should_stop = self.recorder.stop.is_asked
        self._num_evaluated = 0
        if self.is_training:
            self._train_on_dataset()
        else:
            self._evaluate_dataset()

    def _train_on_dataset(self) -> None:
        self.model.train()
        if hasattr(self.dataset, "set_epoch"):
            self.dataset.set_epoch(self.epoch)
        self._started, self._samples_before = time.perf_counter(), self.position.num_samples
        self.stepper.where = f"epoch {self.epoch}"
        self._take_up_pass()
        try:
            super().run_dataset()
        except BatchOverdue:  # there was a signal, and nothing to train on since the last step
            if self._is_between_steps:
                self.recorder.keeper.keep_within(self._place() | self._place_in_pass())
            self.recorder.stop.raise_if_asked()
            raise
        self.world.sync_buffers(self.model)
        self._take_metrics()
        self._count_seconds()
        loss = self.dataset_metrics.get("loss", 0.0)
        self._require_finite(f"loss is {loss} in epoch {self.epoch}", loss)
        self._require_finite_weights()
        self._require_stepper()

    def _evaluate_dataset(self) -> None:
        import torch

        self._take_up_pass()
        try:
            with torch.inference_mode(), self.averaged_model(), self.whole_model():
                self.world.sync_buffers(self.model)
                self.model.eval()
                super().run_dataset()
                self._meet(is_at_end=True)
        except BaseException as error:
            is_overdue = isinstance(error, BatchOverdue)
            if not self.is_aside and (self.recorder.stop.is_orderly or is_overdue):
                self.recorder.keeper.keep_within(self._place())  # by now the model has its own weights again
            if is_overdue:
                self.recorder.stop.raise_if_asked()
            raise
        self._take_metrics()

    def between_batches(self) -> None:
        """Keep the state where that is due, and end here if a signal asked for it; where no step is half made."""
        if self.freed_memory is not None and self.freed_memory.look():
            self.recorder.terminal.warn("memory has become short: --no-keep_freed_memory is in force from now on")
        if not self._trains:
            self._num_evaluated += 1
            self._meet(is_at_end=False)
            super().between_batches()
            return
        self._num_batches += 1
        self._is_between_steps = self.stepper.closes_window
        if not self.recorder.keeper.is_due(self.position.step) or self.is_aside or self.is_stopped("batch"):
            return
        if not self.stepper.is_within_window:
            self.recorder.keeper.keep_within(self._place() | self._place_in_pass())
            self.recorder.stop.raise_if_asked()

    def _take_fingerprints(self) -> "Fingerprinter":
        if self.fingerprinter is None:
            from .fingerprints import LOOK_EVERY, Fingerprinter

            self.fingerprinter = Fingerprinter(self.recorder.fingerprints, self.device)
            self.stepper.on_step, self.stepper.norm_every_n_steps = self.fingerprinter.add_step, LOOK_EVERY
        return self.fingerprinter

    def flush(self) -> None:
        """Write what waits in memory to the run's files."""
        if self.fingerprinter is not None:
            self.fingerprinter.flush()

    def _count_seconds(self) -> None:
        now = time.perf_counter()
        self.position.train_seconds += now - self._started
        self._started, self._samples_before = now, self.position.num_samples

    def run_batch(self) -> None:
        """Prepare the batch and train on it, or evaluate it."""
        batch = self.batch
        if self._trains:
            self._samples_at_work.append((self.position.step + 1, batch.get("index"), batch.get("source")))
            (self.fingerprinter or self._take_fingerprints()).add_batch(batch)
            self.batch = batch = self.prepare_batch(batch, training=True)
            self.position.learning_rate = self.optimizer.param_groups[0]["lr"]
            if self.stepper.ranks is not None:
                self.stepper.ranks.begin_batch(is_borrowed=self._is_borrowed())
            loss = self.train_batch(batch)
            self._count_step(loss)
        else:
            self.batch = batch = self.prepare_batch(batch, training=False)
            loss = self.eval_batch(batch)
        self.batch_loss = loss
        self.batch_metrics["loss"], self.batch_weight = loss.value, loss.weight

    def collect_batch(self) -> None:
        """Add the batch to the meter; what a hook or the experiment measured besides is averaged."""
        loss, self.batch_loss = self.batch_loss, None
        if loss is not None:
            if self._trains and (self.stepper.max_skipped_steps or self.stepper.ranks) and self._counts_nothing(loss):
                return
            self.meter.update(loss, self._measurable())
            self._num_measured += 1
            self.batch_metrics.pop("loss", None)
        if self.batch_metrics:
            super().collect_batch()

    def _measurable(self) -> "Batch":
        """The batch as metrics read it: each sample with one class, where augmentation has mixed two."""
        return self.batch if "hard_target" not in self.batch else self.batch | {"target": self.batch["hard_target"]}

    def _counts_nothing(self, loss: "Loss") -> bool:
        """Whether the batch is another rank's, or its loss is no number, and the step is skipped for that."""
        if self._is_borrowed():
            return True
        if not self.stepper.max_skipped_steps:
            return False
        of_all = 0.0 if self.stepper.ranks is None else float(self.stepper.ranks.loss)
        is_finite = loss.weight == 0 or math.isfinite(float(loss.value))  # a mean over nothing is no number
        return not (is_finite and math.isfinite(of_all))

    def _count_step(self, loss: "Loss") -> None:
        position = self.position
        if self.stepper.ranks is not None:
            position.num_samples += self.dataset.batch_size_of_all(self._num_batches)
        else:
            position.num_samples += self._num_samples(loss)
        if not self.stepper.closes_window:
            return
        position.step += 1
        if self.stepper.ranks is not None:
            self.stepper.ranks.require_step(type(self).__name__)
        (self.fingerprinter or self._take_fingerprints()).close_window(position.step, position.epoch, loss.value)
        if position.step % self.log_every_n_steps == 0:
            self._log_step(loss)
        elif not self._is_read_at_once:
            return
        self._samples_at_work.clear()

    def _num_samples(self, loss: "Loss") -> int:
        """How many samples the batch in hand has."""
        source = self.batch.get("source")
        if isinstance(source, list):
            return len(source)
        return len(self.batch["index"]) if "index" in self.batch else round(loss.weight)

    def _log_step(self, loss: "Loss") -> None:
        position = self.position
        value = self._loss_of_all(loss)  # waits for the device, so that the time is that of the work
        self._require_finite(f"loss is {value} at step {position.step}", value)
        seconds = time.perf_counter() - self._started
        samples_per_second = (position.num_samples - self._samples_before) / seconds
        rate = position.learning_rate
        self.recorder.step({"loss": value, "learning_rate": rate, "samples_per_second": samples_per_second})

    def suspects(self, error: BaseException) -> dict[str, Any] | None:
        """The samples of the step that ended the run by a loss that is no number; None where that did not."""
        if not isinstance(error, NonFiniteLoss) or not self._samples_at_work:
            return None
        step = self._samples_at_work[-1][0] if error.step is None else error.step
        samples: dict[str, list[int]] = {}
        for each_step, positions, sources in self._samples_at_work:
            if each_step == step:
                indices = [] if positions is None else [int(index) for index in positions]
                for source, index in zip(sources or [self.dataset_name] * len(indices), indices, strict=True):
                    samples.setdefault(source, []).append(index)
        return {"step": step, "epoch": self.position.epoch, "samples": samples}

    def _require_finite(self, what: str, loss: float) -> None:
        """A step that was not the stepper's may have a loss that is no number; the stepper knows of its own."""
        self.stepper.check()
        if not math.isfinite(loss) and not self.stepper.max_skipped_steps:
            raise NonFiniteLoss(f"the {self.dataset_name} {what}; {ADVICE}")

    def _require_finite_weights(self) -> None:
        """Nor must weights be saved that something else than a step has spoiled."""
        import torch

        from .distributed.parts import is_shared_out, whole

        named = dict(self.model.named_parameters())
        is_sharded = any(map(is_shared_out, named.values()))
        if named and not is_sharded:
            # One pass at the speed of memory: a sum is finite only where all that it adds up is.
            sums = torch.stack([weights.detach().sum() for weights in named.values()])
            if sums.isfinite().all():
                return
        finite = torch.stack([weights.isfinite().all() for weights in named.values()]) if named else torch.ones(0)
        finite = whole(finite)  # each rank knows of its part of the weights
        if not finite.all():
            broken = list(named)[finite.tolist().index(False)]
            raise NonFiniteLoss(f"{broken} is not finite after epoch {self.epoch}; {ADVICE}")

    def _require_stepper(self) -> None:
        """Settings that the stepper carries out have no effect where a `train_batch` takes its steps without it."""
        if self._num_measured and not self.stepper.num_steps:
            for name in self.changed_args():
                if name in _STEPPER_SETTINGS:
                    raise UserError(
                        f"--{name}: {type(self).__name__}.train_batch takes its steps itself; it has no effect unless "
                        "self.stepper.update does"
                    )

    def step_schedulers(self, value: float | None) -> None:
        """Step what is scheduled by epochs; a plateau schedule looks at `value`."""
        with warnings.catch_warnings():
            # An epoch may be stopped before its first step, or take its steps in a way of its own.
            warnings.filterwarnings("ignore", message="Detected call of `lr_scheduler.step")
            self._step_each_scheduler(value)

    def _step_each_scheduler(self, value: float | None) -> None:
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        for scheduler in self.schedulers.values():
            if isinstance(scheduler, ReduceLROnPlateau):
                if value is not None:
                    scheduler.step(value)
            elif self.scheduler_interval == "epoch":
                scheduler.step()


def state_of(parts: Mapping[str, Any]) -> dict[str, Any]:
    """The state dict of each part, by name."""
    return {name: part.state_dict() for name, part in parts.items()}
