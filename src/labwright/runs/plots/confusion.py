"""The confusion matrix of a classifier."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .style import BLUE, GRID, INK, MUTED, picture, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_MOST_COUNTS = 20  # classes up to which counts are written into the cells
_MOST_PERCENTAGES = 50


def plot_confusion(counts: "NDArray[Any]", class_names: Sequence[str], path: Path, title: str) -> None:
    """Draws counts[true, predicted]: colour is the share of the true class, the bars beside are accuracy per class.

    Counts are written into the cells up to 20 classes. Without class names the classes are numbered.
    """
    import numpy as np

    counts = np.asarray(counts)
    num_classes = len(counts)
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(totals, 1)[:, None]
    names = [shorten(name, 18) for name in class_names] or [str(index) for index in range(num_classes)]
    side = max(2.4, 0.46 * min(num_classes, _MOST_COUNTS), 0.1 * min(num_classes, 100))
    label = 0.4 + 0.06 * max(map(len, names))
    accuracy = np.trace(counts) / max(counts.sum(), 1)
    subtitle = f"{counts.sum():,} samples · accuracy {accuracy:.2%}"
    with picture(path, title, subtitle=subtitle, width=side + label + 1.9, height=side + label + 0.9) as figure:
        grid = figure.add_gridspec(2, 2, width_ratios=[side, 0.9], height_ratios=[side, 0.11])
        matrix, bars, key = (figure.add_subplot(grid[place]) for place in ((0, 0), (0, 1), (1, 0)))
        _draw_matrix(figure, matrix, key, shares)
        _label_classes(matrix, names, side)
        if num_classes <= _MOST_COUNTS:
            _write_counts(matrix, counts, shares)
        _draw_accuracies(bars, shares.diagonal(), totals)


def _draw_matrix(figure: "Figure", axes: "Axes", key: "Axes", shares: "NDArray[np.float64]") -> None:
    from matplotlib.colors import PowerNorm

    # The square root keeps a confusion of 2 % visible beside a diagonal of 98 %.
    image = axes.imshow(
        shares, cmap="Blues", norm=PowerNorm(0.5, vmin=0, vmax=1), interpolation="nearest", aspect="auto"
    )
    axes.spines[:].set_visible(True)
    axes.set_xlabel("Predicted class")
    axes.set_ylabel("True class")
    bar = figure.colorbar(image, cax=key, orientation="horizontal", ticks=[0, 0.05, 0.2, 0.5, 1])
    key.set_xticklabels(["0", "5%", "20%", "50%", "100%"])
    bar.outline.set_visible(False)
    bar.set_label("Share of the true class")


def _label_classes(axes: "Axes", names: Sequence[str], side: float) -> None:
    size = 8.0 if len(names) <= 30 else 6.0 if len(names) <= 60 else 5.0
    # Beyond 100 classes not every row has room for its name.
    ticks = range(0, len(names), -(-len(names) // 100))
    shown = [names[tick] for tick in ticks]
    is_short = max(map(len, shown)) * size * 0.009 < side / len(shown)
    axes.set_xticks(ticks, shown, rotation=0 if is_short else 90, fontsize=size)
    axes.set_yticks(ticks, shown, fontsize=size)
    axes.tick_params(length=0)


def _write_counts(axes: "Axes", counts: "NDArray[Any]", shares: "NDArray[np.float64]") -> None:
    for row, column in zip(*counts.nonzero(), strict=True):
        color = "white" if shares[row, column] > 0.3 else INK
        text = _compact(int(counts[row, column]))
        axes.text(column, row, text, ha="center", va="center", fontsize=7.5 if len(text) < 5 else 6.5, color=color)


def _compact(count: int) -> str:
    if count < 100_000:
        return str(count)
    return f"{count / 1e3:.0f}k" if count < 1_000_000 else f"{count / 1e6:.1f}M"


def _draw_accuracies(axes: "Axes", accuracies: "NDArray[np.float64]", totals: "NDArray[Any]") -> None:
    num_classes = len(accuracies)
    axes.barh(range(num_classes), accuracies, height=0.6, color=BLUE)
    axes.barh(range(num_classes), 1 - accuracies, left=accuracies, height=0.6, color=GRID)
    axes.set_ylim(num_classes - 0.5, -0.5)
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    axes.set_xlabel("Accuracy")
    if num_classes > _MOST_PERCENTAGES:
        return
    for row, (accuracy, total) in enumerate(zip(accuracies, totals, strict=True)):
        text = f"{accuracy:.1%}" if total else "–"
        axes.text(1.06, row, text, va="center", fontsize=8.0 if num_classes <= 30 else 6.0, color=MUTED)
