"""Values in the order they came, such as the reward of each episode."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .axes import MOST_MARKERS, set_count_axis, set_value_axis
from .looks import class_look
from .panels import LARGEST_DRAWN
from .style import INK, PAPER_LABEL, join_notes, label_axes, number, picture, plain, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_DASHES = ("-", (0, (4, 1.3)), (0, (1.2, 1.2)), (0, (6, 1.5, 1, 1.5)))


def plot_curve(
    values: "Mapping[str, Sequence[float] | NDArray[Any]]",
    path: Path,
    title: str,
    *,
    x_label: str,
    y_label: str,
    subtitle: str = "",
    smooth: int | None = None,
    positions: "Mapping[str, Sequence[float] | NDArray[Any]] | None" = None,
    levels: Mapping[str, float] | None = None,
) -> None:
    """Draws named curves; with `smooth`, each value faintly and the mean of the last `smooth` values as the line.

    Values stand at 1, 2, 3, ... or at `positions`. `levels` are named horizontal lines, such as when a task counts as
    solved. Values that are not finite are gaps.
    """
    import numpy as np

    if smooth is not None and smooth < 1:
        raise ValueError(f"smooth must be at least 1 value, not {smooth}")
    curves = {name: _checked_curve(name, given) for name, given in values.items()}
    places = {name: _places(name, len(curve), positions) for name, curve in curves.items()}
    lines = {name: running_mean(curve, smooth or 1) for name, curve in curves.items()}
    styles = {name: _style(index, max(map(len, curves.values()))) for index, name in enumerate(curves)}
    note = f"faint: single values, line: mean of the last {smooth}" if smooth else ""
    legend = _legend(styles) if len(styles) > 1 else []
    with picture(path, title, subtitle=join_notes(subtitle, note), width=6.4, height=3.4, legend=legend) as figure:
        axes = figure.add_subplot()
        label_axes(axes, shorten(y_label, 60), [_last_values(curves, lines)])
        axes.set_xlabel(plain(x_label))
        axes.grid(axis="y")
        for name, line in lines.items():
            if smooth:
                color = styles[name]["color"]
                axes.plot(places[name], curves[name], color=color, alpha=0.25, linewidth=0.8, zorder=2)
            axes.plot(places[name], line, zorder=3, **styles[name])
        for name, level in (levels or {}).items():
            _name_level(axes, name, level)
        if positions is None:
            set_count_axis(axes, 1, max(map(len, curves.values()), default=1))
        axes.margins(y=0.08)
        set_value_axis(axes, [float(value) for curve in curves.values() for value in curve[np.isfinite(curve)]])


def _name_level(axes: "Axes", name: str, level: float) -> None:
    axes.axhline(level, color=INK, linewidth=0.9, linestyle=(0, (2, 2)), zorder=1)
    axes.annotate(
        shorten(name, 40), (0, level), (4, 2), xycoords=("axes fraction", "data"), textcoords="offset points",
        fontsize=8.0, color=INK, bbox=PAPER_LABEL, zorder=5,
    )  # fmt: skip


def _checked_curve(name: str, values: "Sequence[float] | NDArray[Any]") -> "NDArray[np.float64]":
    import numpy as np

    curve = np.asarray(values, dtype=np.float64)
    if curve.ndim != 1:
        raise ValueError(f"values[{name!r}] must be one number after another, not {list(curve.shape)}")
    return np.where(np.abs(curve) < LARGEST_DRAWN, curve, np.nan)


def _places(name: str, num_values: int, positions: "Mapping[str, Any] | None") -> "NDArray[np.float64]":
    import numpy as np

    if positions is None:
        return np.arange(1, num_values + 1, dtype=np.float64)
    places = np.asarray(positions.get(name, ()), dtype=np.float64)
    if places.shape != (num_values,):
        raise ValueError(f"positions[{name!r}] must be {num_values} numbers, one per value, not {list(places.shape)}")
    return places


def running_mean(values: "NDArray[np.float64]", window: int) -> "NDArray[np.float64]":
    """The mean of the last `window` values, of fewer at the start; gaps are left out, and stay where all is gap."""
    import numpy as np

    if not len(values):
        return values
    is_finite = np.isfinite(values)
    weights = np.ones(min(window, len(values)))
    sums = np.convolve(np.where(is_finite, values, 0.0), weights)[: len(values)]
    counts = np.convolve(is_finite, weights)[: len(values)]
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _style(index: int, num_values: int) -> dict[str, Any]:
    look = class_look(index)
    marker = look.marker if num_values <= MOST_MARKERS else ""
    dash = _DASHES[index % len(_DASHES)] if num_values > MOST_MARKERS else "-"
    return {
        "color": look.color,
        "linestyle": dash,
        "linewidth": 1.7,
        "marker": marker,
        "markersize": 4.8,
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def _legend(styles: Mapping[str, dict[str, Any]]) -> "list[Artist]":
    from matplotlib.lines import Line2D

    return [Line2D([], [], label=shorten(name, 40), **style) for name, style in styles.items()]


def _last_values(curves: "Mapping[str, NDArray[np.float64]]", lines: "Mapping[str, NDArray[np.float64]]") -> str:
    """Where the curves end, and how many of their values are gaps."""
    import numpy as np

    ends = {name: number(float(line[-1])) for name, line in lines.items() if len(line)}
    num_gaps = sum(int((~np.isfinite(curve)).sum()) for curve in curves.values())
    parts = ends.values() if len(ends) == 1 else (f"{name} {end}" for name, end in ends.items())
    last = "at the end " + ", ".join(parts) if ends else ""
    return shorten(join_notes(last, f"{num_gaps} not finite" if num_gaps else ""), 110)
