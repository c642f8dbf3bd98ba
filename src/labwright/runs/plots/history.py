"""The picture of a run: every metric, every split, by epoch."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .looks import LEARNING_RATE_LOOK, Look, line_style, looks_of
from .panels import LEARNING_RATE, Panel, role, sort_into_panels, splits_of
from .style import MUTED, label_axes, number, picture, plain, pretty_name, shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_PANEL_WIDTH, _PANEL_HEIGHT = 3.45, 2.75
_MOST_MARKERS = 30
_NAME_WIDTH, _NOTE_WIDTH = 32, 46  # characters


def plot_history(
    rows: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str,
    subtitle: str = "",
    best_epoch: int | None = None,
    best_metric: str | None = None,
) -> None:
    """Draws history rows: a panel for the loss, one per metric, one for the learning rate.

    Training and validation are lines, a test value is a mark at the epoch of the weights it was measured with, the
    best epoch is a thin vertical line. Values that are not finite are gaps, counted above the panel.
    """
    panels = sort_into_panels(rows)
    looks = looks_of(splits_of(panels))
    num_columns = _num_columns(len(panels))
    num_rows = max(1, math.ceil(len(panels) / num_columns))
    width, height = num_columns * _PANEL_WIDTH, num_rows * _PANEL_HEIGHT
    dense = any(len(series.by_epoch) > _MOST_MARKERS for panel in panels for series in panel.series.values())
    legend = _legend(looks, dense, best_epoch, best_metric)
    with picture(path, title, subtitle=subtitle, width=max(width, 4.2), height=height, legend=legend) as figure:
        if not panels:
            figure.text(0.5, 0.4, "No metrics yet", ha="center", color=MUTED, fontsize=11)
        epochs = sorted({epoch for panel in panels for series in panel.series.values() for epoch in series.by_epoch})
        notes = [_note(panel, best_epoch) for panel in panels]
        for position, panel in enumerate(panels):
            axes = figure.add_subplot(num_rows, num_columns, position + 1)
            label_axes(axes, shorten(pretty_name(panel.name), _NAME_WIDTH), notes[position], max(map(len, notes)))
            _draw_panel(axes, panel, looks, best_epoch, dense)
            _set_epoch_axis(axes, epochs, is_lowest=position + num_columns >= len(panels))


def _num_columns(num_panels: int) -> int:
    if num_panels <= 3:
        return max(1, num_panels)
    if num_panels == 4:
        return 2
    return 3 if num_panels in (5, 6, 9) else 4


def _legend(looks: dict[str, Look], dense: bool, best_epoch: int | None, best_metric: str | None) -> list["Artist"]:
    from matplotlib.lines import Line2D

    artists: list[Artist] = [
        Line2D([], [], label=shorten(split, 40), **line_style(look, dense)) for split, look in looks.items()
    ]
    if best_epoch is not None:
        by = f" by {best_metric if '/' in best_metric else f'val/{best_metric}'}" if best_metric else ""
        artists.append(Line2D([], [], color=MUTED, linewidth=0.8, label=plain(f"best epoch {best_epoch}{by}")))
    return artists


def _draw_panel(axes: "Axes", panel: Panel, looks: dict[str, Look], best_epoch: int | None, dense: bool) -> None:
    if best_epoch is not None and panel.finite:
        axes.axvline(best_epoch, color=MUTED, linewidth=0.8, zorder=1)
    for split, series in panel.series.items():
        look = LEARNING_RATE_LOOK if panel.name == LEARNING_RATE else looks[split]
        axes.plot(series.epochs, series.values, zorder=4 if series.is_test else 3, **line_style(look, dense))
    axes.margins(y=0.08)
    axes.grid(axis="y")
    _set_value_axis(axes, panel)


def _note(panel: Panel, best_epoch: int | None) -> list[str]:
    """The values a reader looks for: validation at the best (or last) epoch, and test."""
    if panel.name == LEARNING_RATE:
        values = panel.finite
        low, high = (min(values), max(values)) if values else (math.nan, math.nan)
        return [f"constant {number(high)}" if low == high else f"between {number(low)} and {number(high)}"]
    held_out = [series for series in panel.series.values() if role(series.split) == "val"]
    lines = held_out or [series for series in panel.series.values() if not series.is_test]
    epoch = best_epoch if best_epoch is not None else max((series.epochs[-1] for series in lines), default=0)
    values = [f"{series.split}~{number(series.by_epoch[epoch])}" for series in lines if epoch in series.by_epoch]
    parts = [f"{', '.join(values)} at~epoch~{epoch}"] if values else []
    tests = [f"{series.split}~{number(series.values[-1])}" for series in panel.series.values() if series.is_test]
    parts += [", ".join(tests)] if tests else []
    parts += [f"{panel.num_gaps}~not~finite"] if panel.num_gaps else []
    wrapped = wrap(" · ".join(parts), _NOTE_WIDTH, max_lines=5, placeholder=" …", break_on_hyphens=False)
    return [plain(line.replace("~", " ").removesuffix(" ·")) for line in wrapped]  # no line ends at a ~


def _set_epoch_axis(axes: "Axes", epochs: Sequence[int], *, is_lowest: bool) -> None:
    from matplotlib.ticker import MaxNLocator

    first, last = epochs[0], epochs[-1]
    pad = max(0.03 * (last - first), 0.25)
    axes.set_xlim(first - min(pad, 0.6), last + pad)  # the first epoch is 1: no tick for an epoch before it
    axes.xaxis.set_major_locator(MaxNLocator(nbins=7, integer=True, min_n_ticks=1, steps=[1, 2, 5, 10]))
    if is_lowest:
        axes.set_xlabel("Epoch")


def _set_value_axis(axes: "Axes", panel: Panel) -> None:
    from matplotlib.ticker import FuncFormatter, MaxNLocator, ScalarFormatter

    if not panel.finite:
        axes.set_yticks([])
        axes.text(0.5, 0.5, "no finite value", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        return
    if panel.is_logarithmic:
        axes.set_yscale("log")
        return
    if panel.name == LEARNING_RATE and max(panel.finite) > 0:
        axes.set_ylim(0, 1.1 * max(panel.finite))
    axes.yaxis.set_major_locator(MaxNLocator(nbins=6, steps=[1, 2, 2.5, 5, 10]))
    largest = max(abs(value) for value in panel.finite)
    if largest == 0 or 5e-4 <= largest < 1e5:
        formatter = ScalarFormatter(useOffset=False)
        formatter.set_scientific(False)
        axes.yaxis.set_major_formatter(formatter)
    else:  # matplotlib's common factor above the axis would stand in the note's place
        span = max(panel.finite) - min(panel.finite)
        digits = 3 + max(0, int(math.log10(largest / span))) if span else 3
        axes.yaxis.set_major_formatter(FuncFormatter(partial(_scientific, digits)))


def _scientific(digits: int, value: float, position: int | None) -> str:
    if value == 0:
        return "0"
    mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
    return rf"${float(mantissa):.{digits}g}{{\times}}10^{{{int(exponent)}}}$"
