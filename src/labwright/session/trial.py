"""A few batches of a PyTorch experiment, before its run begins: by its own methods, and without a trace."""

import copy
import math
import random
import time
import warnings
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch

from labwright.args import ExperimentArgs
from labwright.train import NonFiniteLoss, Position, TrainLoop, derive_seed, rng_state, set_rng_state

if TYPE_CHECKING:
    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

_MOST_ELEMENTS = 10**6
"""Larger tensors are not copied in case the experiment changes them."""


def can_be_tried(experiment: "BareExperiment[ExperimentArgs]") -> bool:
    """Whether its batches go the usual way, so that single ones can be taken."""
    kind = type(experiment)
    usual = (kind.run_dataset is TrainLoop.run_dataset, kind.run_batch is TrainLoop.run_batch)
    return isinstance(experiment, TrainLoop) and all(usual)


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
    loader = _begin_pass(experiment, name, epoch)
    experiment.model.train()
    if hasattr(loader, "set_epoch"):
        loader.set_epoch(epoch)
    steps, counted, started = Steps(), [(0, time.perf_counter())], time.perf_counter()
    batches = cast(Generator[Any], experiment.stepper.each(loader))
    with closing(batches):
        for number, batch in enumerate(batches, start=1):
            if keep_batches:
                steps.batches.append({key: _kept(value) for key, value in batch.items()})
            steps.losses += _train_on(experiment, batch)
            if experiment.stepper.closes_window:
                counted.append((number, time.perf_counter()))
                if len(steps.losses) == num_steps or time.perf_counter() - started > seconds:
                    break
    (first, since), (last, until) = counted[len(counted) > 2], counted[-1]
    steps.seconds_per_batch = (until - since) / max(last - first, 1)
    return steps


def _train_on(experiment: "Experiment[ExperimentArgs]", batch: Any) -> list[float]:
    """The batch's loss, if it closes a step."""
    experiment.batch, experiment.batch_metrics = experiment.prepare_batch(batch, training=True), {}
    loss = experiment.train_batch(experiment.batch)
    if not experiment.stepper.closes_window:
        return []
    experiment.stepper.check()
    experiment.position.step += 1
    value = float(loss.value)
    if not math.isfinite(value) and not experiment.stepper.max_skipped_steps:
        raise NonFiniteLoss(f"the loss is {value} at step {experiment.position.step}", experiment.position.step)
    return [value]


def evaluate_batches(
    experiment: "Experiment[ExperimentArgs]", name: str, num_batches: int = 2
) -> tuple[dict[str, float], float]:
    """The metrics of the first batches of a set, and the seconds that the last of them took."""
    loader, meter, seconds = _begin_pass(experiment, name, 1), experiment.new_meter(), 0.0
    with torch.inference_mode(), experiment.averaged_model():
        experiment.model.eval()
        started = time.perf_counter()
        for batch in islice(loader, num_batches):
            experiment.batch, experiment.batch_metrics = experiment.prepare_batch(batch, training=False), {}
            loss = experiment.eval_batch(experiment.batch)
            meter.update(loss, experiment.batch)
            float(loss.value)  # waits for the device
            seconds, started = time.perf_counter() - started, time.perf_counter()
    return meter.compute(), seconds


def _begin_pass(experiment: "Experiment[ExperimentArgs]", name: str, epoch: int) -> Any:
    """The loader of a set, with everything set as a pass over it in that epoch has it."""
    experiment.seed_everything(derive_seed(experiment.args.seed, "pass", epoch, name))
    experiment.epoch = experiment.position.epoch = epoch
    experiment.dataset_name, experiment.dataset = name, experiment.loaders[name]
    experiment.dataset_metrics, experiment.epoch_metrics = {}, {}
    return experiment.dataset


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
    """Undoes what the block does to attributes, gradients, modes, workers and random numbers; not to the parts' state.

    Within, the experiment has copies of what is small and can change.
    """
    before, rng = dict(vars(experiment)), rng_state()
    parameters, modules = list(experiment.model.parameters()), list(experiment.model.modules())
    gradients, modes = [each.grad for each in parameters], [each.training for each in modules]
    vars(experiment).update({name: _working_copy(value) for name, value in before.items()})
    for name in ("artifacts", "best", "early_stopping"):
        setattr(experiment, name, copy.deepcopy(getattr(experiment, name)))
    experiment.position, experiment.hooks = Position(), ()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of the run itself are to be seen, once each
            yield
    finally:
        close_workers(experiment)
        vars(experiment).clear()
        vars(experiment).update(before)
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient
        for module, mode in zip(modules, modes, strict=True):
            module.training = mode
        set_rng_state(rng)


def close_workers(experiment: "BareExperiment[ExperimentArgs]") -> None:
    """End the worker processes of all loaders: what their datasets remember goes with them."""
    for loader in experiment.loaders.values():
        if hasattr(loader, "close"):
            loader.close()


def _working_copy(value: Any) -> Any:
    """A copy of what holds numbers or counts them; parts, data and all else as it is."""
    if isinstance(value, dict | list | deque):
        twin = copy.copy(value)
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            twin[key] = _working_copy(item)
        return twin
    if isinstance(value, torch.Generator):
        return value.clone_state()
    if isinstance(value, torch.Tensor) and not value.requires_grad and value.numel() <= _MOST_ELEMENTS:
        return value.clone()
    is_small_array = isinstance(value, np.ndarray) and value.size <= _MOST_ELEMENTS
    if is_small_array or isinstance(value, set | random.Random | np.random.Generator | np.random.RandomState):
        return copy.deepcopy(value)
    return value


def _kept(value: Any) -> Any:
    """What a checkpoint can hold of a member of a batch."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone()
    return list(map(str, value)) if isinstance(value, list) else str(type(value))
