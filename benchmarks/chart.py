"""The picture of `train_loop.py`: a panel for each workload, a bar for each row."""

from collections.abc import Mapping
from pathlib import Path

from matplotlib.axes import Axes

from labwright.runs.plots.style import BLUE, INK, MUTED, PAPER_LABEL, label_axes, picture

GREY, PALE = "#8A8A8A", "#C9D6DF"
_LONGEST = 2.5
"""Longer bars are cut, or they would set the scale for all."""
PANEL_WIDTH, NAMES_WIDTH, ROW_HEIGHT = 2.1, 1.5, 0.25  # inches


def draw_ratios(ratios: Mapping[str, Mapping[str, float]], path: Path, *, ours: str, by_hand: str) -> None:
    """Draws `ratios[workload][row]`, the cheapest row on average first.

    The row `ours` stands out, those whose names begin with `by_hand` are grey, and a line marks 1, the bare loop.
    """
    means = {
        row: sum(bars[row] for bars in ratios.values() if row in bars) / sum(row in bars for bars in ratios.values())
        for row in dict.fromkeys(row for bars in ratios.values() for row in bars)
    }
    rows = sorted(means, key=lambda row: means[row])
    highest = min(_LONGEST, max(max(bars.values()) for bars in ratios.values()))
    note = "CPU time of an epoch relative to the bare loop (dashed), lower is better"
    width, height = NAMES_WIDTH + PANEL_WIDTH * len(ratios), ROW_HEIGHT * len(rows) + 0.75
    with picture(path, "What an epoch costs", subtitle=note, width=width, height=height) as figure:
        for position, (workload, bars) in enumerate(ratios.items(), start=1):
            axes = figure.add_subplot(1, len(ratios), position)
            name, _, batches = workload.partition(", ")
            label_axes(axes, name, [batches])
            _draw_panel(axes, bars, rows, ours, by_hand)
            axes.set_xlim(0, 1.3 * highest)
            axes.set_yticks(range(len(rows)), rows)
            axes.tick_params(length=0, labelcolor=INK, labelleft=position == 1)


def _draw_panel(axes: Axes, bars: Mapping[str, float], rows: list[str], ours: str, by_hand: str) -> None:
    for place, row in enumerate(rows):
        if row not in bars:
            continue
        is_ours, ratio = row == ours, bars[row]
        color = BLUE if is_ours else GREY if row.startswith(by_hand) else PALE
        length = min(ratio, _LONGEST)
        axes.barh(place, length, height=0.66, color=color, zorder=2)
        axes.annotate(
            f"{ratio:.2f}" + " (cut)" * (ratio > length),
            (length, place),
            (3, 0),
            textcoords="offset points",
            va="center",
            fontsize=8,
            color=INK if is_ours else MUTED,
            fontweight="bold" if is_ours else "normal",
            bbox=PAPER_LABEL | {"alpha": 1.0},
            zorder=3,
        )
    axes.axvline(1, color=INK, linewidth=0.8, linestyle=(0, (3, 2)), zorder=1)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xticks([])
    axes.spines[["bottom", "left"]].set_visible(False)
