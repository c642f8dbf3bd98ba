"""Samples in the plane of an embedding, by class."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .looks import class_look
from .panels import LARGEST_DRAWN
from .style import INK, PAPER_LABEL, join_notes, picture, say_empty, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_WIDTH, _HEIGHT = 6.2, 5.4
_MOST_POINTS, _MOST_NAMES = 20_000, 60
_NAME_SIZE, _NAME_LENGTH = 8.5, 22
_MOST_LONG_NAMES, _SHORT = 10, 4  # more classes with names longer than that are numbered, the names in a legend
_NO_CLASS = "#BBBBBB"


def plot_embedding(
    points: "NDArray[Any]",
    labels: "Sequence[int] | NDArray[Any]",
    class_names: Sequence[str],
    path: Path,
    title: str,
    *,
    subtitle: str = "",
) -> None:
    """Draws points `[n, 2]` in the colour and mark of their class, with each class's name at its median point.

    More than ten long names go into a legend and leave their numbers there. A label outside the classes, such as -1,
    is drawn in grey; without class names the classes are numbered. Points that are not finite are counted, not drawn.
    """
    import numpy as np

    points, labels = np.asarray(points, dtype=np.float64), np.asarray(labels)
    if not len(points):
        points = np.zeros((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"points must be [n, 2], not {list(points.shape)}")
    if labels.shape != (len(points),):
        raise ValueError(f"labels must be [{len(points)}], one per point, not {list(labels.shape)}")
    is_finite = (np.abs(points) < LARGEST_DRAWN).all(axis=1)
    num_gaps = int((~is_finite).sum())
    points, labels = points[is_finite], labels[is_finite]
    kept = np.linspace(0, len(points) - 1, min(len(points), _MOST_POINTS)).astype(int)
    classes = [int(label) for label in np.unique(labels) if 0 <= label < (len(class_names) or math.inf)]
    largest = sorted(classes, key=lambda label: -int((labels == label).sum()))[:_MOST_NAMES]
    names = {
        label: shorten(class_names[label] if class_names else str(label), _NAME_LENGTH) for label in sorted(largest)
    }
    is_crowded = len(names) > _MOST_LONG_NAMES and max(map(len, names.values())) > _SHORT
    legend = _legend(names) if is_crowded else ()
    note = join_notes(
        subtitle,
        f"{len(points):,} samples" if len(kept) == len(points) else f"{len(kept):,} of {len(points):,} samples",
        f"{num_gaps} not finite" if num_gaps else "",
        f"the {len(names)} largest of {len(classes)} classes named" if len(names) < len(classes) else "",
    )
    with picture(path, title, subtitle=note, width=_WIDTH, height=_HEIGHT, legend=legend) as figure:
        if not len(points):
            say_empty(figure, "No points to show")
            return
        axes = figure.add_subplot()
        axes.set_aspect("equal", adjustable="datalim")
        axes.set_xticks([])
        axes.set_yticks([])
        axes.spines[:].set_visible(False)
        axes.margins(0.02)
        _draw_points(axes, points[kept], labels[kept], classes)
        centres = np.array([np.median(points[labels == label], axis=0) for label in names]).reshape(-1, 2)
        _write_names(axes, [str(label) if is_crowded else name for label, name in names.items()], centres, points)


def _draw_points(axes: "Axes", points: "NDArray[np.float64]", labels: "NDArray[Any]", classes: Sequence[int]) -> None:
    import numpy as np

    crowd = min(1.0, 25 / math.sqrt(len(points)))  # from 625 points on, smaller and paler marks
    style = {"s": 5 + 13 * crowd, "alpha": 0.35 + 0.4 * crowd, "linewidth": 0}
    rest = ~np.isin(labels, classes)
    axes.scatter(*points[rest].T, color=_NO_CLASS, marker=".", zorder=1, **style)
    for label in classes:
        look = class_look(label)
        axes.scatter(*points[labels == label].T, color=look.color, marker=look.marker, zorder=2, **style)


def _legend(names: dict[int, str]) -> "list[Artist]":
    from matplotlib.lines import Line2D

    looks = {label: class_look(label) for label in names}
    return [
        Line2D([], [], label=f"{label}  {name}", linestyle="none", marker=looks[label].marker, color=looks[label].color)
        for label, name in names.items()
    ]


def _write_names(axes: "Axes", names: Sequence[str], centres: "NDArray[Any]", points: "NDArray[Any]") -> None:
    """Writes each name at its centre, or, where names would cover each other, near it with a line to it."""
    extent = points.max(axis=0) - points.min(axis=0)
    inch = float(max(extent[0] / (_WIDTH - 0.5), extent[1] / (_HEIGHT - 0.5))) or 1.0  # in units of the points
    size = _NAME_SIZE if len(names) <= 30 else 6.5
    for name, centre, place in zip(names, centres, spread(names, centres / inch, size) * inch, strict=True):
        if abs(centre[1] - place[1]) > 0.1 * inch:
            axes.plot(*zip(centre, place, strict=True), color=INK, linewidth=0.7, zorder=3)
        x, y = place
        axes.text(
            x, y, name, ha="center", va="center", fontsize=size, fontweight="bold", color=INK, zorder=4,
            bbox=PAPER_LABEL,
        )  # fmt: skip


def spread(names: Sequence[str], centres: "NDArray[Any]", size: float) -> "NDArray[Any]":
    """Places in inches near the centres, moved up and down until no two names overlap, or as well as that can be."""
    places = centres.copy()
    height = 1.35 * size / 72
    widths = [0.72 * size / 72 * len(name) for name in names]
    for _ in range(100):
        moved = False
        for upper in range(len(names)):
            for lower in range(upper):
                gap = places[upper] - places[lower]
                if abs(gap[0]) < (widths[upper] + widths[lower]) / 2 and abs(gap[1]) < height - 1e-9:
                    shift = (height - abs(gap[1])) / 2 * (1 if gap[1] >= 0 else -1)
                    places[upper, 1] += shift
                    places[lower, 1] -= shift
                    moved = True
        if not moved:
            break
    return places
