"""Speed and memory of training by batch size, to choose one from."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labwright.runs.sizes import bytes_text

from .looks import Look, chosen_mark, class_look
from .style import INK, MUTED, PAPER_LABEL, label_axes, picture, plain, shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes

_MOST_TICKS = 8


class BatchPoint(NamedTuple):
    """What came of a batch size."""

    size: int
    fits: bool
    samples_per_second: float | None = None
    memory: float | None = None
    """In bytes; of a size that does not fit what it would take, None where nobody knows."""


def plot_batch_sizes(
    points: Sequence[BatchPoint],
    path: Path,
    title: str,
    *,
    limit: float,
    subtitle: str = "",
    marks: Mapping[str, int] | None = None,
) -> None:
    """Draws samples per second and bytes over rising batch sizes; `marks` are sizes among them with a name.

    `limit` is the memory that may be used, drawn as a line where that is not far above all points. Sizes that do not
    fit are crosses.
    """
    from matplotlib.ticker import FuncFormatter

    points = sorted(points)
    looks = {name: (size, class_look(place + 1)) for place, (name, size) in enumerate((marks or {}).items())}
    speeds = {each.size: each.samples_per_second for each in points if each.samples_per_second is not None}
    memory = {each.size: each.memory for each in points if each.fits and each.memory is not None}
    refused = {each.size: limit if each.memory is None else each.memory for each in points if not each.fits}
    legend = [_legend_entry(name, size, look) for name, (size, look) in looks.items()]
    with picture(path, title, subtitle=subtitle, width=6.4, height=4.6, legend=legend) as figure:
        upper, lower = figure.subplots(2, 1, sharex=True)
        _panel(upper, "Samples per second", speeds, looks)
        _panel(lower, "Memory", memory, looks)
        if refused:
            lower.plot([*refused], [*refused.values()], color=MUTED, linestyle="none", marker="x", zorder=3)
        if refused or limit < 2 * max(memory.values(), default=limit):
            _draw_limit(lower, limit)
        for axes in (upper, lower):
            top = axes.dataLim.ymax
            axes.set_ylim(0, 1.1 * top if math.isfinite(top) else 1.0)
        upper.yaxis.set_major_formatter(FuncFormatter(_count))
        lower.yaxis.set_major_formatter(FuncFormatter(_bytes))
        _label_sizes(lower, [each.size for each in points])


def _panel(axes: "Axes", name: str, values: Mapping[int, float], looks: Mapping[str, tuple[int, Look]]) -> None:
    label_axes(axes, name, num_lines=0)
    axes.set_xscale("log", base=2)
    axes.grid(axis="y")
    axes.plot([*values], [*values.values()], color=class_look(0).color, linewidth=1.7, marker=".", zorder=2)
    for size, look in looks.values():
        if size in values:
            axes.plot([size], [values[size]], zorder=4, **chosen_mark(look))


def _draw_limit(axes: "Axes", limit: float) -> None:
    axes.axhline(limit, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    axes.annotate(
        plain(f"{bytes_text(limit)} may be used"), (0, limit), (4, 4), xycoords=("axes fraction", "data"),
        textcoords="offset points", fontsize=8.0, color=INK, bbox=PAPER_LABEL, zorder=5,
    )  # fmt: skip


def _label_sizes(axes: "Axes", sizes: Sequence[int]) -> None:
    """Name the sizes that were tried; where they are many or close, some of them."""
    shown: list[int] = []
    apart = max(2.0, (sizes[-1] / sizes[0]) ** (1 / _MOST_TICKS)) * 0.85 if sizes else 1.0
    for size in sizes:
        if not shown or size >= apart * shown[-1]:
            shown.append(size)
    axes.set_xticks(shown, [str(size) for size in shown])
    axes.xaxis.set_tick_params(which="minor", length=0)
    axes.set_xlabel(plain("Batch size"))


def _legend_entry(name: str, size: int, look: Look) -> "Artist":
    from matplotlib.lines import Line2D

    return Line2D([], [], label=f"{shorten(name, 40)}: {size}", **chosen_mark(look))


def _count(value: float, position: int | None) -> str:
    return f"{value:,.0f}"


def _bytes(value: float, position: int | None) -> str:
    return bytes_text(value) if value else "0"
