"""A curve in a line of text."""

import math
from collections.abc import Sequence

_LEVELS = "▁▂▃▄▅▆▇█"
_GAP = "·"


def sparkline(values: Sequence[float], width: int = 30) -> str:
    """The values as bars, the lowest and the highest spanning all heights; `·` where one is NaN or infinite.

    More than `width` of them are averaged in neighbourhoods.
    """
    points = [_mean(values[start:end]) for start, end in _spans(len(values), width)]
    finite = [point for point in points if math.isfinite(point)]
    if not finite:
        return _GAP * len(points)
    low, span = min(finite), max(finite) - min(finite)
    return "".join(_level((point - low) / span if span else 0.5) if math.isfinite(point) else _GAP for point in points)


def _spans(count: int, width: int) -> list[tuple[int, int]]:
    width = min(count, width)
    return [(count * number // width, count * (number + 1) // width) for number in range(width)]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return math.fsum(finite) / len(finite) if finite else math.nan


def _level(height: float) -> str:
    return _LEVELS[min(int(height * len(_LEVELS)), len(_LEVELS) - 1)]
