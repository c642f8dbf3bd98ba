"""Schedules as functions: from the epochs or steps done to the factor on the optimizer's learning rate.

They are plain functions, which torch's LambdaLR leaves out of its state: all that a checkpoint holds is the count of
epochs or steps, and a run that is continued for longer follows the longer curve.
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from math import cos, pi

Curve = Callable[[int], float]


def constant(done: int) -> float:
    return 1.0


def decay_every(step_size: int, gamma: float) -> Curve:
    """Multiplied by `gamma` each `step_size` epochs."""
    return lambda done: gamma ** (done // step_size)


def decay_at(milestones: Sequence[int], gamma: float) -> Curve:
    """Multiplied by `gamma` at each milestone."""
    ordered = sorted(milestones)
    return lambda done: gamma ** bisect_right(ordered, done)


def warmup_then_cosine(warmup: float, total: int, minimum: float) -> Curve:
    """Straight up to 1 in `warmup` steps, then half a cosine down to `minimum` after `total` steps.

    The first step is never zero. A run that ends before its warm-up does follows the straight line to its end.
    """

    def curve(done: int) -> float:
        if done + 1 < warmup:
            return (done + 1) / warmup
        if done >= total:
            return minimum
        if done <= warmup:
            return 1.0
        return _ease(1.0, minimum, (done - warmup) / (total - warmup))

    return curve


def rise_and_fall(start: float, peak: float, end: float, *, total: int, rising_fraction: float) -> Curve:
    """Half a cosine from `start` to `peak` in the first part of `total` steps, another one to `end` in the rest."""
    turn = rising_fraction * total

    def curve(done: int) -> float:
        if done >= total:
            return end
        if done < turn:
            return _ease(start, peak, done / turn)
        return _ease(peak, end, (done - turn) / (total - turn))

    return curve


def _ease(start: float, end: float, progress: float) -> float:
    return end + (start - end) * (1 + cos(pi * progress)) / 2
