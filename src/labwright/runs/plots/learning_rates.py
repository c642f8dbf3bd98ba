"""The loss at each learning rate of a sweep, to choose one from."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .looks import Look, chosen_mark, class_look
from .style import label_axes, number, picture, plain, shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist

_ABOVE = 0.35
"""How much of what the loss falls by is shown above where it began: an explosion would flatten the rest."""


def plot_learning_rates(
    rates: Sequence[float],
    losses: Sequence[float],
    smoothed: Sequence[float],
    path: Path,
    title: str,
    *,
    subtitle: str = "",
    marks: Mapping[str, float] | None = None,
) -> None:
    """Draws the losses faintly and their smoothed course as a line, over rising rates; `marks` are rates with a name.

    What lies far above the first loss is cut off, and so are marks beyond the rates that were tried.
    """
    from matplotlib.ticker import FuncFormatter

    looks = {name: (rate, class_look(place + 1)) for place, (name, rate) in enumerate((marks or {}).items())}
    shown = {name: (rate, look) for name, (rate, look) in looks.items() if rates[0] <= rate <= rates[-1]}
    legend = [_legend_entry(name, rate, look) for name, (rate, look) in shown.items()]
    color = class_look(0).color
    with picture(path, title, subtitle=subtitle, width=6.4, height=3.4, legend=legend) as figure:
        axes = figure.add_subplot()
        label_axes(axes, "Loss", num_lines=0)
        axes.set_xscale("log")
        axes.set_xlabel(plain("Learning rate"))
        axes.grid(axis="y")
        axes.plot(rates, losses, color=color, alpha=0.25, linewidth=0.8, zorder=2)
        axes.plot(rates, smoothed, color=color, linewidth=1.7, zorder=3)
        highest = max(smoothed[: smoothed.index(min(smoothed)) + 1])
        lowest = min(min(loss, mean) for loss, mean in zip(losses, smoothed, strict=True) if mean <= highest)
        span = (highest - lowest) or abs(highest) or 1.0
        bottom = lowest - 0.08 * span
        axes.set_ylim(bottom, highest + _ABOVE * span)
        axes.set_xlim(rates[0], rates[-1])
        axes.xaxis.set_major_formatter(FuncFormatter(_power))
        for rate, look in shown.values():
            height = _between(rates, smoothed, rate)
            axes.plot([rate, rate], [bottom, height], color=look.color, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
            axes.plot([rate], [height], zorder=4, **chosen_mark(look))


def _legend_entry(name: str, rate: float, look: Look) -> "Artist":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=f"{shorten(name, 40)}: {number(float(f'{rate:.2g}'))}", **chosen_mark(look))


def _between(rates: Sequence[float], heights: Sequence[float], rate: float) -> float:
    """The height of the line at a rate."""
    import numpy as np

    return float(np.interp(math.log(rate), np.log(rates), heights))


def _power(value: float, position: int | None) -> str:
    return rf"$10^{{{round(math.log10(value))}}}$"
