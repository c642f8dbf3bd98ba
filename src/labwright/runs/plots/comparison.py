"""The histories of several runs in one picture."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev
from typing import TYPE_CHECKING, Any

from .axes import is_dense, set_count_axis, set_value_axis
from .looks import class_look
from .panels import Panel
from .style import join_notes, label_axes, number, picture, pretty_name, say_empty, shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

Run = Sequence[Mapping[str, Any]]
"""The history rows of one run."""

MOST_COLORS = 10
"""Of more curves only the first few are told apart, the others are the grey background they stand out from."""
NUM_OF_MANY = 5
_PANEL_WIDTH, _PANEL_HEIGHT = 4.2, 3.0  # inches
_DASHES = ("-", (0, (4, 1.3)), (0, (1.2, 1.2)), (0, (6, 1.5, 1, 1.5)))
_GREY = "#B5B5B5"


def plot_comparison(
    curves: Mapping[str, Sequence[Run]],
    path: Path,
    title: str,
    *,
    metrics: Sequence[str],
    subtitle: str = "",
    is_lower_better: Callable[[str], bool],
) -> None:
    """Draws a panel per metric (full names), and in it a curve per name: a run, or the mean of several.

    A mean has a band of one standard deviation around it and its runs as thin lines; it goes as far as all of them do.
    Curves come in order of importance: where there are too many for colours, the first few stand out from the others.
    """
    panels = {metric: {name: _values(runs, metric) for name, runs in curves.items()} for metric in metrics}
    panels = {metric: lines for metric, lines in panels.items() if any(map(any, lines.values()))}
    named = list(curves)[: len(curves) if len(curves) <= MOST_COLORS else NUM_OF_MANY]
    dense = is_dense([_panel(metric, lines) for metric, lines in panels.items()])
    styles = {name: _style(named.index(name), dense) if name in named else _background() for name in curves}
    has_spread = any(len(runs) > 1 for runs in curves.values())
    note = "line: mean, band: ± 1 standard deviation, thin: single runs" if has_spread else ""
    num_columns = 2 if len(panels) == 4 else max(1, min(len(panels), 3))
    num_rows = max(1, math.ceil(len(panels) / num_columns))
    width = max(num_columns * _PANEL_WIDTH, 5.6)
    with picture(
        path,
        title,
        subtitle=join_notes(subtitle, note),
        width=width,
        height=num_rows * _PANEL_HEIGHT,
        legend=_legend(styles, named),
    ) as figure:
        if not panels:
            say_empty(figure, "No metrics to draw")
        for position, (metric, lines) in enumerate(panels.items()):
            axes = figure.add_subplot(num_rows, num_columns, position + 1)
            _draw_panel(axes, metric, lines, styles, is_lower=is_lower_better(metric))
            if position + num_columns >= len(panels):
                axes.set_xlabel("Epoch")


def _values(runs: Sequence[Run], metric: str) -> list[dict[int, float]]:
    """The metric by epoch, of each of the runs; what cannot be drawn is NaN."""
    split, _, name = metric.partition("/")
    found: list[dict[int, float]] = []
    for rows in runs:
        panel = Panel(name)
        for row in rows:
            if row["split"] == split and name in row["metrics"]:
                panel.add(split, row["epoch"], row["metrics"][name])
        found.append(panel.series[split].by_epoch if panel.series else {})
    return found


def _panel(metric: str, lines: Mapping[str, Sequence[dict[int, float]]]) -> Panel:
    """All lines of a metric together, as what knows which axis they need."""
    panel = Panel(metric.partition("/")[2])
    for name, runs in lines.items():
        for number_of_run, by_epoch in enumerate(runs):
            for epoch, value in by_epoch.items():
                panel.add(f"{number_of_run} {name}", epoch, value)
    return panel


def _draw_panel(
    axes: "Axes",
    metric: str,
    lines: Mapping[str, Sequence[dict[int, float]]],
    styles: Mapping[str, dict[str, Any]],
    *,
    is_lower: bool,
) -> None:
    panel = _panel(metric, lines)
    split, _, name = metric.partition("/")
    label_axes(axes, shorten(f"{pretty_name(name)} ({split})", 44), [_note(panel, lines, is_lower=is_lower)])
    floor = min(panel.finite, default=0.0) if panel.is_logarithmic else -math.inf
    for rank, (label, runs) in enumerate(lines.items()):
        _draw_curve(axes, runs, styles[label], zorder=4 - rank / len(lines), floor=floor)
    epochs = [epoch for runs in lines.values() for by_epoch in runs for epoch in by_epoch]
    axes.margins(y=0.08)
    axes.grid(axis="y")
    set_value_axis(axes, panel.finite, logarithmic=panel.is_logarithmic)
    set_count_axis(axes, min(epochs), max(epochs))


def _draw_curve(
    axes: "Axes", runs: Sequence[dict[int, float]], style: dict[str, Any], *, zorder: float, floor: float
) -> None:
    if len(runs) == 1:
        _draw_line(axes, runs[0], zorder=zorder, **style)
        return
    for by_epoch in runs:
        _draw_line(axes, by_epoch, color=style["color"], linewidth=0.6, alpha=0.45, zorder=zorder - 0.5)
    measured = [by_epoch for by_epoch in runs if by_epoch]
    common = [
        epoch for epoch in sorted(measured[0] if measured else ()) if all(epoch in by_epoch for by_epoch in measured)
    ]
    values = [[by_epoch[epoch] for by_epoch in measured] for epoch in common]
    means = [mean(each) for each in values]
    spreads = [_deviation(each) for each in values]
    lower = [max(middle - spread, floor) for middle, spread in zip(means, spreads, strict=True)]
    upper = [middle + spread for middle, spread in zip(means, spreads, strict=True)]
    axes.fill_between(common, lower, upper, color=style["color"], alpha=0.18, linewidth=0, zorder=zorder - 1)
    _draw_line(axes, dict(zip(common, means, strict=True)), zorder=zorder, **style)


def _deviation(values: Sequence[float]) -> float:
    if not all(map(math.isfinite, values)):
        return math.nan
    return stdev(values) if len(values) > 1 else 0.0


def _draw_line(axes: "Axes", by_epoch: Mapping[int, float], **style: Any) -> None:
    epochs = sorted(by_epoch)
    is_point = sum(math.isfinite(value) for value in by_epoch.values()) == 1
    if is_point:
        style["marker"] = "o"
    axes.plot(epochs, [by_epoch[epoch] for epoch in epochs], **style)


def _style(index: int, dense: bool) -> dict[str, Any]:
    look = class_look(index)
    return {
        "color": look.color,
        "linestyle": _DASHES[index % len(_DASHES)] if dense else "-",
        "linewidth": 1.6,
        "marker": "" if dense else look.marker,
        "markersize": 4.8,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def _background() -> dict[str, Any]:
    return {"color": _GREY, "linewidth": 0.7, "alpha": 0.7}


def _legend(styles: Mapping[str, dict[str, Any]], named: Sequence[str]) -> "list[Artist]":
    from matplotlib.lines import Line2D

    artists: list[Artist] = [Line2D([], [], label=shorten(name, 80), **styles[name]) for name in named]
    if len(named) < len(styles):
        artists.append(Line2D([], [], label=f"{len(styles) - len(named):,} others", **_background()))
    return artists if len(styles) > 1 else []


def _note(panel: Panel, lines: Mapping[str, Sequence[dict[int, float]]], *, is_lower: bool) -> str:
    """The best value that any run had, and how many values are gaps."""
    gaps = f"{panel.num_gaps} not finite" if panel.num_gaps else ""
    if not panel.finite:
        return gaps
    best = min(panel.finite) if is_lower else max(panel.finite)
    owner = next(label for label, runs in lines.items() if any(best in by_epoch.values() for by_epoch in runs))
    return join_notes(f"{'lowest' if is_lower else 'highest'} {number(best)}: {shorten(owner, 40)}", gaps)
