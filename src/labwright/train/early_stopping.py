"""The best epoch so far, and when to stop waiting for a better one."""

import math
from typing import Any


class BestTracker:
    """The best value of a metric so far, and the epoch it came from. NaN is never it; an equal value is no better."""

    def __init__(self, *, minimize: bool) -> None:
        self.minimize = minimize
        self.value: float | None = None
        self.epoch: int | None = None

    def update(self, value: float, epoch: int) -> bool:
        """Whether `value` is the new best."""
        better = _is_better(value, self.value, self.minimize)
        if better:
            self.value, self.epoch = value, epoch
        return better

    def state_dict(self) -> dict[str, Any]:
        return {"value": self.value, "epoch": self.epoch}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.value, self.epoch = state["value"], state["epoch"]


class EarlyStopping:
    """Says stop after `patience` epochs in a row without an improvement of more than `delta` over the best so far.

    The best so far is the best value of any epoch, also one that was better by less than `delta`.
    """

    def __init__(self, patience: int, *, minimize: bool, delta: float = 0.0) -> None:
        if patience < 1:
            raise ValueError(f"patience must be at least 1 epoch, not {patience}")
        self.patience = patience
        self.minimize = minimize
        self.delta = delta
        self.best: float | None = None
        self.epochs_without_improvement = 0

    def update(self, value: float) -> bool:
        """Take in the metric of an epoch; whether to stop now."""
        improved = _is_better(value, self.best, self.minimize, self.delta)
        self.epochs_without_improvement = 0 if improved else self.epochs_without_improvement + 1
        if _is_better(value, self.best, self.minimize):
            self.best = value
        return self.should_stop

    @property
    def should_stop(self) -> bool:
        return self.epochs_without_improvement >= self.patience

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "epochs_without_improvement": self.epochs_without_improvement}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.best = state["best"]
        self.epochs_without_improvement = state["epochs_without_improvement"]


def _is_better(value: float, best: float | None, minimize: bool, delta: float = 0.0) -> bool:
    """Whether `value` is a number, and better than `best` by more than `delta`; the first number always is."""
    if best is None:
        return not math.isnan(value)
    return (best - value if minimize else value - best) > delta
