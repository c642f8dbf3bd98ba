"""Whether the weights would be learned: by gradients that reach them, optimizers that step them, a rate above 0."""

import math
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs
from labwright.args.wording import listed

from .checks import Check
from .estimates import num_steps_per_epoch

if TYPE_CHECKING:
    from labwright.experiment import Experiment

_MOST_SCHEDULED = 300_000
"""To step a schedule more often takes seconds."""


def look_at_gradients(experiment: "Experiment[ExperimentArgs]", without: set[str], check: Check) -> None:
    """Whether each trainable parameter gets a gradient, and an optimizer that steps it."""
    stepped = {
        id(parameter)
        for optimizer in experiment.optimizers.values()
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    trainable = {name: each for name, each in experiment.model.named_parameters() if each.requires_grad}
    forgotten = [name for name, each in trainable.items() if id(each) not in stepped]
    if without:
        check.warn(f"no gradient reaches {listed(sorted(without), 5)}")
    elif forgotten:
        check.warn(f"no optimizer has {listed(forgotten, 5)}")
    else:
        check.note = f"all {len(trainable):,} trainable parameters get one"


def follow_schedule(experiment: "Experiment[ExperimentArgs]", check: Check) -> None:
    """The learning rate at the start, in the middle and at the end, by optimizers and schedules made anew."""
    from torch.optim.lr_scheduler import ReduceLROnPlateau

    experiment.optimizers = experiment.build_optimizers()
    schedulers = experiment.build_schedulers(experiment.num_epochs, num_steps_per_epoch(experiment))
    in_steps = experiment.scheduler_interval == "step"
    total = experiment.num_epochs * (num_steps_per_epoch(experiment) if in_steps else 1)
    if any(isinstance(each, ReduceLROnPlateau) for each in schedulers.values()):
        check.note = "it depends on the metric"
        return
    if total > _MOST_SCHEDULED:
        check.status, check.note = "not tried", f"it has {total:,} steps"
        return
    group, rates = experiment.optimizer.param_groups[0], list[float]()
    for _ in range(total):
        rates.append(float(group["lr"]))
        for scheduler in schedulers.values():
            scheduler.step()
    first, middle, last = rates[0], rates[total // 2], rates[-1]
    check.note = f"learning rate {first:.4g} at the start, {middle:.4g} in the middle, {last:.4g} at the end"
    if not all(map(math.isfinite, rates)):
        check.fail(f"the learning rate is no number: {check.note}")
    elif max(rates) <= 0:
        check.warn(f"nothing is ever learned: {check.note}")
