"""A few batches of a PyTorch experiment, before its run begins: by its own methods, and without a trace."""

import math
import time
import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import torch

from labwright.args import ExperimentArgs
from labwright.train import NonFiniteLoss, Position, derive_seed, set_rng_state

from .rehearsal import difference, put_back, save_state, work_on_copies

if TYPE_CHECKING:
    from labwright.experiment import Experiment


@dataclass
class Steps:
    """What some training steps came to."""

    losses: list[float] = field(default_factory=list[float])
    """Of the last batch of each step."""
    batches: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    """The samples and tensors of each batch, where they were to be kept."""
    seconds_per_batch: float = 0.0
    """Without the first step, if there are others: that one also sets things up."""


def take_steps(
    experiment: "Experiment[ExperimentArgs]",
    name: str,
    *,
    epoch: int,
    num_steps: int,
    seconds: float = math.inf,
    keep_batches: bool = False,
) -> Steps:
    """Train on the first batches of a set, as that epoch would: `num_steps`, or as many as begin within `seconds`."""
    loader = begin_pass(experiment, name, epoch)
    experiment.model.train()
    if hasattr(loader, "set_epoch"):
        loader.set_epoch(epoch)
    steps, counted, started = Steps(), [(0, time.perf_counter())], time.perf_counter()
    batches = cast(Generator[Any], experiment.stepper.each(loader))
    with closing(batches):
        for number, batch in enumerate(batches, start=1):
            if keep_batches:
                steps.batches.append({key: _kept(value) for key, value in batch.items()})
            steps.losses += train_on(experiment, batch)
            if experiment.stepper.closes_window:
                counted.append((number, time.perf_counter()))
                if len(steps.losses) == num_steps or time.perf_counter() - started > seconds:
                    break
    (first, since), (last, until) = counted[len(counted) > 2], counted[-1]
    steps.seconds_per_batch = (until - since) / max(last - first, 1)
    return steps


def train_on(experiment: "Experiment[ExperimentArgs]", batch: Any) -> list[float]:
    """The batch's loss, if it closes a step."""
    experiment.batch_metrics = {}
    experiment.batch = experiment.prepare_batch(batch, training=True)
    loss = experiment.train_batch(experiment.batch)
    if not experiment.stepper.closes_window:
        return []
    experiment.stepper.check()
    experiment.position.step += 1
    value = float(loss.value)
    if not math.isfinite(value) and not experiment.stepper.max_skipped_steps:
        raise NonFiniteLoss(f"the loss is {value} at step {experiment.position.step}", experiment.position.step)
    return [value]


class Evaluated(NamedTuple):
    """What a few batches that are not trained on came to."""

    metrics: dict[str, float]
    seconds_per_batch: float
    """Of the last: the first sets things up."""


def evaluate_batches(experiment: "Experiment[ExperimentArgs]", name: str, num_batches: int) -> Evaluated:
    """The metrics of the first batches of a set."""
    loader, meter, seconds = begin_pass(experiment, name, 1), experiment.new_meter(), 0.0
    with torch.inference_mode(), experiment.averaged_model():
        experiment.model.eval()
        started = time.perf_counter()
        for batch in islice(loader, num_batches):
            experiment.batch_metrics = {}
            experiment.batch = experiment.prepare_batch(batch, training=False)
            loss = experiment.eval_batch(experiment.batch)
            meter.update(loss, experiment.batch)
            float(loss.value)  # waits for the device
            seconds, started = time.perf_counter() - started, time.perf_counter()
    return Evaluated(meter.compute(), seconds)


def begin_pass(experiment: "Experiment[ExperimentArgs]", name: str, epoch: int) -> Any:
    """The loader of a set, with everything set as a pass over it in that epoch has it."""
    experiment.seed_everything(derive_seed(experiment.args.seed, "pass", epoch, name))
    experiment.epoch = experiment.position.epoch = epoch
    experiment.dataset_name, experiment.dataset = name, experiment.loaders[name]
    experiment.dataset_metrics, experiment.epoch_metrics = {}, {}
    return experiment.dataset


def difference_of_resumed(
    experiment: "Experiment[ExperimentArgs]",
    checkpoint: Path,
    *,
    num_steps: int,
    build_anew: Callable[[], None] = lambda: None,
) -> str | None:
    """What differs first between the steps after `checkpoint`, just made, and the same after a return to it."""

    def go_on(file: str) -> Path:
        steps = take_steps(
            experiment, next(iter(experiment.splits.train)), epoch=2, num_steps=num_steps, keep_batches=True
        )
        return save_state(experiment, checkpoint.with_name(file), batches=steps.batches, losses=steps.losses)

    uninterrupted = go_on("uninterrupted")
    build_anew()
    experiment.resume_from(checkpoint)
    return difference(uninterrupted, go_on("resumed"))


def is_rounding(experiment: "Experiment[ExperimentArgs]", where: str) -> bool:
    """Whether a difference there may be one of sums in another order, which accelerators take the liberty of."""
    return experiment.device.type != "cpu" and not where.startswith(("batches", "rng"))


def return_to(experiment: "Experiment[ExperimentArgs]", path: Path) -> None:
    """Bring parts and random numbers to where `save_state` found them."""
    experiment.load_state_dict(experiment.decode_state(path))
    set_rng_state(experiment.rng_before)


@contextmanager
def watched_gradients(experiment: "Experiment[ExperimentArgs]") -> Iterator[set[str]]:
    """The names of the trainable parameters that get no gradient within the block, once it has ended."""
    trainable = {name: each for name, each in experiment.model.named_parameters() if each.requires_grad}
    missing = {*trainable}

    def on_gradient(name: str) -> Any:
        return lambda _: missing.discard(name)

    hooks = [each.register_post_accumulate_grad_hook(on_gradient(name)) for name, each in trainable.items()]
    try:
        yield missing
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def left_as_it_was(experiment: "Experiment[ExperimentArgs]") -> Iterator[None]:
    """Undoes what the block does to attributes, gradients and modes; the parts' state is for `return_to`."""
    before = dict(vars(experiment))
    parameters, modules = list(experiment.model.parameters()), list(experiment.model.modules())
    gradients, modes = [each.grad for each in parameters], [each.training for each in modules]
    work_on_copies(experiment)
    experiment.position = Position()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of the run itself are to be seen, once each
            yield
    finally:
        put_back(experiment, before)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode


def _kept(value: Any) -> Any:
    """What a checkpoint can hold of a member of a batch."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return list(map(str, value)) if isinstance(value, list) else str(type(value))
