"""The learning rate finder (Smith, 2017): train while the rate rises from step to step, and look at the loss.

Too small a rate and the loss stays, too large and it explodes; a good one lies where it falls fastest, well below the
smallest loss.
"""

import math
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from labwright.args import ExperimentArgs, UserError
from labwright.args.tools import LrFindOptions
from labwright.train import NonFiniteLoss

from .steps import prepared, training_steps

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from labwright.bare import BareExperiment
    from labwright.experiment import Experiment

_MEMORY = 0.9
"""Of the running mean that notices a loss which explodes."""
_SPREAD = 0.03
"""Of the curve that suggestions are read from: the share of the sweep that each point is a mean of, to either side."""
_CLEARLY = 3
"""A fall of so many times what the losses scatter by is one."""
_FEWEST = 5
"""Steps before the sweep may end, and before the first rate that may be suggested."""


@dataclass
class Sweep:
    """What came of each learning rate."""

    experiment_id: str
    rates: list[float]
    losses: list[float]
    smoothed: list[float]
    """The losses, each with its neighbours."""
    is_diverged: bool
    """Whether the sweep ended since the loss exploded."""
    rate_now: float | None
    """What the experiment would train with."""
    steepest: float | None = None
    """Where the loss falls fastest; None: it does not fall by more than it scatters."""
    tenth_of_minimum: float | None = None
    """A tenth of the rate with the smallest loss."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def find_learning_rate(experiment: "BareExperiment[ExperimentArgs]", options: LrFindOptions | None = None) -> Sweep:
    """Train for a hundred steps with ever larger learning rates; `experiment` and its parts stay as they are.

    Raises:
        UserError: it does not train with PyTorch, batch by batch, or a run would be refused.
    """
    options = options or LrFindOptions()
    wanted = np.geomspace(options.lowest_rate, options.highest_rate, options.sweep_steps).tolist()
    with prepared(experiment) as (tried, name, *_):
        rate_now = _rates(tried)[0]
        rates, losses = _sweep(tried, name, wanted)
    if len(losses) <= _FEWEST:
        raise UserError(f"lr-find: the loss is no number after {len(losses)} steps; lower --lowest_rate")
    sweep = Sweep(
        experiment.args.experiment_id, rates, losses, smooth(losses).tolist(), len(rates) < len(wanted), rate_now
    )
    _suggest(sweep)
    return sweep


def smooth(losses: "list[float]") -> "NDArray[np.float64]":
    """Each loss as the mean of its neighbours, weighted by a bell curve; a running mean would shift them."""
    places = np.arange(len(losses))
    width = max(1.0, _SPREAD * len(losses))
    weights = np.exp(-0.5 * ((places[:, None] - places[None, :]) / width) ** 2)
    return weights @ np.asarray(losses) / weights.sum(axis=1)


def _sweep(experiment: "Experiment[ExperimentArgs]", name: str, wanted: list[float]) -> tuple[list[float], list[float]]:
    """The rates that were tried, and the loss before the step that each was used for."""
    rates, losses = list[float](), list[float]()
    for optimizer in experiment.optimizers.values():
        experiment.stepper.attach(optimizer, scheduler=None, ema=None)
    scale = _scales(experiment)
    watch = _Watch()
    with closing(training_steps(experiment, name)) as steps:
        for rate in wanted:
            _set_rates(experiment, rate, scale)
            try:
                loss = next(steps).loss
            except NonFiniteLoss:
                break
            rates.append(rate)
            losses.append(loss)
            if watch.explodes(loss):
                break
    return rates, losses


class _Watch:
    """Whether a loss explodes: its running mean is four times the best, and further above the first than that below."""

    def __init__(self) -> None:
        self._mean = self._weight = 0.0
        self._first, self._best = math.nan, math.inf
        self._number = 0

    def explodes(self, loss: float) -> bool:
        self._number += 1
        self._mean = _MEMORY * self._mean + (1 - _MEMORY) * loss
        self._weight = _MEMORY * self._weight + (1 - _MEMORY)
        mean = self._mean / self._weight
        self._first = mean if self._number == 1 else self._first
        self._best = min(self._best, mean)
        return self._number > _FEWEST and mean > max(4 * self._best, 2 * self._first - self._best)


def _rates(experiment: "Experiment[ExperimentArgs]") -> list[float]:
    """The learning rate of each group of each optimizer, as it is without a schedule."""
    groups = [group for optimizer in experiment.optimizers.values() for group in optimizer.param_groups]
    return [float(group.get("initial_lr", group["lr"])) for group in groups]


def _scales(experiment: "Experiment[ExperimentArgs]") -> list[float]:
    """Each group's rate as a multiple of the first one's: these proportions stay."""
    rates = _rates(experiment)
    return [rate / rates[0] if rates[0] else 1.0 for rate in rates]


def _set_rates(experiment: "Experiment[ExperimentArgs]", rate: float, scales: list[float]) -> None:
    scale: Iterator[float] = iter(scales)
    for optimizer in experiment.optimizers.values():
        for group in optimizer.param_groups:
            value = rate * next(scale)
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(value)
            else:
                group["lr"] = value


def _suggest(sweep: Sweep) -> None:
    smoothed, losses = np.asarray(sweep.smoothed), np.asarray(sweep.losses)
    lowest = int(smoothed.argmin())
    if lowest <= _FEWEST:
        return
    scatter = float(np.std(np.diff(losses[: lowest + 1]))) / math.sqrt(2)
    if smoothed[0] - smoothed[lowest] <= _CLEARLY * scatter:
        return
    slope = np.gradient(smoothed, np.log(sweep.rates))
    sweep.steepest = sweep.rates[_FEWEST + int(slope[_FEWEST : lowest + 1].argmin())]
    sweep.tenth_of_minimum = sweep.rates[lowest] / 10
