"""The picture of a run: every metric, every split, by epoch."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from .axes import draw_panel, is_dense, set_count_axis
from .looks import Look, line_style, looks_of
from .panels import LEARNING_RATE, Panel, role, sort_into_panels, splits_of
from .style import MUTED, label_axes, number, picture, plain, pretty_name, say_empty, shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist

_PANEL_WIDTH, _PANEL_HEIGHT, _LINE_HEIGHT = 3.45, 2.75, 0.14  # inches, the last of a note's line
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
    epochs = sorted({epoch for panel in panels for series in panel.series.values() for epoch in series.by_epoch})
    marked_epoch = best_epoch if len(epochs) > 1 else None  # of a single epoch there is no best
    notes = [_note(panel, best_epoch) for panel in panels]
    num_lines = max(map(len, notes), default=0)
    width, height = num_columns * _PANEL_WIDTH, num_rows * (_PANEL_HEIGHT + _LINE_HEIGHT * max(0, num_lines - 2))
    dense = is_dense(panels)
    legend = _legend(looks, dense, marked_epoch, best_metric)
    with picture(path, title, subtitle=subtitle, width=max(width, 4.2), height=height, legend=legend) as figure:
        if not panels:
            say_empty(figure, "No metrics yet")
        for position, panel in enumerate(panels):
            axes = figure.add_subplot(num_rows, num_columns, position + 1)
            label_axes(axes, shorten(pretty_name(panel.name), _NAME_WIDTH), notes[position], num_lines)
            draw_panel(axes, panel, looks, marked_epoch, dense)
            set_count_axis(axes, epochs[0], epochs[-1])
            if position + num_columns >= len(panels):
                axes.set_xlabel("Epoch")


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
