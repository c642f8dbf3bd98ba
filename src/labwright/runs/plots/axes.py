"""One panel of values by epoch, and axes that suit the values."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING

from .looks import LEARNING_RATE_LOOK, Look, line_style
from .panels import LEARNING_RATE, Panel
from .style import MUTED

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MOST_MARKERS = 30


def is_dense(panels: Sequence[Panel]) -> bool:
    """Whether a line has too many points for a marker on each."""
    return any(len(series.by_epoch) > MOST_MARKERS for panel in panels for series in panel.series.values())


def draw_panel(axes: "Axes", panel: Panel, looks: Mapping[str, Look], best_epoch: int | None, dense: bool) -> None:
    """A line per training and validation set, a mark per test set, a thin vertical line at the best epoch."""
    if best_epoch is not None and panel.finite:
        axes.axvline(best_epoch, color=MUTED, linewidth=0.8, zorder=1)
    for split, series in panel.series.items():
        look = LEARNING_RATE_LOOK if panel.name == LEARNING_RATE else looks[split]
        axes.plot(series.epochs, series.values, zorder=4 if series.is_test else 3, **line_style(look, dense))
    axes.margins(y=0.08)
    axes.grid(axis="y")
    set_value_axis(axes, panel.finite, logarithmic=panel.is_logarithmic, from_zero=panel.name == LEARNING_RATE)


def set_count_axis(axes: "Axes", first: int, last: int) -> None:
    """Ticks at whole numbers, none before the first."""
    from matplotlib.ticker import MaxNLocator

    pad = max(0.03 * (last - first), 0.25)
    axes.set_xlim(first - min(pad, 0.6), last + pad)  # counts start at 1: no tick for an epoch before it
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))


def set_value_axis(
    axes: "Axes", finite: Sequence[float], *, logarithmic: bool = False, from_zero: bool = False
) -> None:
    """Ticks that tell these values apart, however large, small or close to each other they are."""
    from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

    if not finite:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        return
    if logarithmic:
        axes.set_yscale("log")
        return
    if from_zero and max(finite) > 0:
        axes.set_ylim(0, 1.1 * max(finite))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    largest = max(abs(value) for value in finite)
    if largest == 0 or 5e-4 <= largest < 1e5:
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axes.yaxis.set_major_formatter(formatter)
    else:  # matplotlib's common factor above the axis would stand in the note's place
        span = max(finite) - min(finite)
        digits = 3 + max(0, int(math.log10(largest / span))) if span else 3
        axes.yaxis.set_major_formatter(FuncFormatter(partial(_scientific, digits)))


def _scientific(digits: int, value: float, position: int | None) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return rf"${float(mantissa):.{digits}g}{{\times}}10^{{{int(exponent)}}}$"
