"""A number per candidate and group, such as the accuracy of each classifier on each dataset."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .panels import drawable
from .style import BLUE, INK, MUTED, join_notes, label_axes, number, picture, say_empty, shorten

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_MOST_COLUMNS = 4
_PANEL_WIDTH, _ROW_HEIGHT = 1.9, 0.25
_PALE_BLUE = "#A9CBE3"
_NAME_WIDTH = 26  # characters


def plot_bars(
    values: Mapping[str, Mapping[str, float]],
    path: Path,
    title: str,
    *,
    value_label: str,
    subtitle: str = "",
    lower_is_better: bool = False,
) -> None:
    """Draws `values[group][candidate]`: a panel per group, a bar with its value per candidate, the best one darker.

    The candidates stand in one order everywhere, the best on average first. A candidate may be missing in a group.
    """
    groups = {group: {name: drawable(float(value)) for name, value in bars.items()} for group, bars in values.items()}
    candidates = _sorted_candidates(groups, lower_is_better)
    num_columns = max(1, min(_MOST_COLUMNS, len(groups)))
    num_rows = max(1, math.ceil(len(groups) / num_columns))
    names_width = 0.075 * max((min(_NAME_WIDTH, len(name)) for name in candidates), default=0)
    width = max(4.2, num_columns * _PANEL_WIDTH + names_width + 0.5)
    height = num_rows * (max(2, len(candidates)) * _ROW_HEIGHT + 0.55)
    order = "lower" if lower_is_better else "higher"
    note = join_notes(subtitle, f"{value_label}, {order} is better; sorted by the mean")
    with picture(path, title, subtitle=note, width=width, height=height) as figure:
        if not candidates:
            say_empty(figure, "No values to show")
        limits = _common_limits(groups)
        for position, (group, bars) in enumerate(groups.items() if candidates else ()):
            axes = figure.add_subplot(num_rows, num_columns, position + 1)
            label_axes(axes, shorten(group, 24), num_lines=0)
            _draw_group(axes, bars, candidates, lower_is_better)
            axes.set_xlim(limits or _limits(bars))
            axes.set_yticks(range(len(candidates)), [shorten(name, _NAME_WIDTH) for name in candidates])
            axes.tick_params(labelleft=position % num_columns == 0)


def _sorted_candidates(groups: Mapping[str, Mapping[str, float]], lower_is_better: bool) -> list[str]:
    """Every candidate, the best mean first; one without any finite value last."""

    def rank(name: str) -> float:
        finite = [bars[name] for bars in groups.values() if math.isfinite(bars.get(name, math.nan))]
        mean = sum(finite) / len(finite) if finite else math.inf
        return mean if lower_is_better or not finite else -mean

    return sorted(dict.fromkeys(name for bars in groups.values() for name in bars), key=rank)


def _draw_group(axes: "Axes", bars: Mapping[str, float], candidates: Sequence[str], lower_is_better: bool) -> None:
    finite = [value for value in bars.values() if math.isfinite(value)]
    best = (min if lower_is_better else max)(finite, default=math.nan)
    for row, name in enumerate(candidates):
        value = bars.get(name)
        is_best = value == best
        length = value if value is not None and math.isfinite(value) else 0.0
        axes.barh(row, length, height=0.62, color=BLUE if is_best else _PALE_BLUE)
        text = "–" if value is None else number(value)
        axes.annotate(
            text, (max(length, 0.0), row), (3, 0), textcoords="offset points", va="center", fontsize=8.0,
            color=INK if is_best else MUTED, fontweight="bold" if is_best else "normal",
        )  # fmt: skip
    axes.axvline(0, color="#8A8A8A", linewidth=0.7, clip_on=False)
    axes.set_ylim(len(candidates) - 0.5, -0.5)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _limits(bars: Mapping[str, float]) -> tuple[float, float]:
    """From the smallest bar to the largest, both from zero, with room for the number behind it."""
    finite = [value for value in bars.values() if math.isfinite(value)]
    low, high = min(finite, default=0.0), max(finite, default=0.0)
    low, high = min(low, 0.0), max(high, 0.0)
    span = (high - low) or 1.0
    return low - (0.02 * span if low else 0), high + 0.35 * span


def _common_limits(groups: Mapping[str, Mapping[str, float]]) -> tuple[float, float] | None:
    """One scale for all groups, unless a group would vanish on it."""
    spans = [high - low for low, high in map(_limits, groups.values())]
    if not spans or max(spans) > 10 * min(spans):
        return None
    lows, highs = zip(*map(_limits, groups.values()), strict=True)
    return min(lows), max(highs)
