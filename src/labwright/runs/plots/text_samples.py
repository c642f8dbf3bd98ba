"""What a language model writes, as it was sampled, beside how it learnt to."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import textwrap
import unicodedata
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from .axes import draw_panel, is_dense, set_count_axis
from .looks import Look, line_style, looks_of
from .panels import Panel
from .style import INK, MARGIN, MUTED, fit, join_notes, label_axes, number, say_empty, sheet, shorten

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_SAMPLES, _MOST_LINES = 8, 14
_NUM_COLUMNS, _NUM_COLUMNS_BESIDE_CURVE = 92, 62  # characters
_TEXT_SIZE, _HEADING_SIZE = 8.0, 8.5
_CHARACTER = 0.602 * _TEXT_SIZE / 72  # inches that a character of DejaVu Sans Mono takes
_LINE, _HEADING, _PAD = 0.155, 0.2, 0.07  # inches
_CURVE_WIDTH, _CURVE_HEIGHT, _AISLE = 2.9, 2.6, 0.3
_PAPER = "#F5F5F2"


class _Line(NamedTuple):
    text: str
    mark: str = ""  # what stands behind the text in grey


def plot_text_samples(
    samples: Sequence[tuple[str, str]],
    path: Path,
    title: str,
    *,
    subtitle: str = "",
    curve: Mapping[str, Sequence[float]] | None = None,
    curve_label: str = "Perplexity",
) -> None:
    """Draws pairs of heading and sampled text, character by character: line breaks, tabs and control codes are seen.

    `curve` are values per epoch and split, drawn beside the text. The first eight samples and fourteen lines of each
    are shown.
    """
    num_columns = _NUM_COLUMNS_BESIDE_CURVE if curve else _NUM_COLUMNS
    blocks = [(heading, visible_lines(text, num_columns)) for heading, text in samples[:_MOST_SAMPLES]]
    paper = num_columns * _CHARACTER + 2 * _PAD
    text_height = sum(_block_height(lines) for _, lines in blocks)
    height = max(text_height, _CURVE_HEIGHT if curve else 0.6)
    width = paper + (_AISLE + _CURVE_WIDTH if curve else 0.0)
    panel = _panel(curve or {}, curve_label)
    looks = looks_of(list(panel.series))
    selection = f"the first {_MOST_SAMPLES} of {len(samples):,} samples" if len(samples) > _MOST_SAMPLES else ""
    note = join_notes(subtitle, selection)
    legend = _legend(panel, looks)
    with sheet(path, title, subtitle=note, legend=legend, width=width, height=height) as (figure, axes):
        if not blocks:
            say_empty(figure, "No text to show")
        top = 0.0
        for heading, lines in blocks:
            _draw_block(axes, top, fit(heading, paper, _HEADING_SIZE), lines, paper)
            top += _block_height(lines)
        if curve:
            _draw_curve(figure, height, panel, looks)


def visible_lines(text: str, num_columns: int) -> list[_Line]:
    """The text in lines of at most so many characters, a return mark where it breaks lines itself."""
    lines: list[_Line] = []
    for paragraph in text.split("\n"):
        shown = "".join(map(_visible, paragraph))
        parts = textwrap.wrap(shown, num_columns, drop_whitespace=False, break_on_hyphens=False) or [""]
        lines += [*map(_Line, parts[:-1]), _Line(parts[-1], "↵")]
    last = lines.pop()
    if last.text or not lines:  # a return at the very end needs no empty line after it
        lines.append(_Line(last.text, "" if last.text else "(empty)"))
    if len(lines) <= _MOST_LINES:
        return lines
    return [*lines[: _MOST_LINES - 1], _Line("", f"… {len(lines) - _MOST_LINES + 1:,} more lines")]


def _visible(character: str) -> str:
    r"""The character itself, an arrow for a tab, or the escape, such as \x07, of what leaves no mark on paper."""
    if character == "\t":
        return "→"
    is_marked = not unicodedata.category(character).startswith("C")  # neither control, format nor unassigned
    return character if is_marked else character.encode("unicode_escape").decode()


def _block_height(lines: Sequence[_Line]) -> float:
    return _HEADING + len(lines) * _LINE + 2 * _PAD + 0.12


def _draw_block(axes: "Axes", top: float, heading: str, lines: Sequence[_Line], width: float) -> None:
    from matplotlib.patches import Rectangle

    axes.text(0, top, heading, va="top", fontsize=_HEADING_SIZE, fontweight="bold", color=INK)
    top += _HEADING
    axes.add_patch(Rectangle((0, top), width, len(lines) * _LINE + 2 * _PAD, color=_PAPER, linewidth=0))
    for row, line in enumerate(lines):
        y = top + _PAD + row * _LINE
        for x, text, color in ((0.0, line.text, INK), (len(line.text) * _CHARACTER, line.mark, MUTED)):
            escaped = text.replace("$", r"\$")
            axes.text(_PAD + x, y, escaped, va="top", fontfamily="DejaVu Sans Mono", fontsize=_TEXT_SIZE, color=color)


def _panel(curve: Mapping[str, Sequence[float]], label: str) -> Panel:
    panel = Panel(label)
    for split, values in curve.items():
        for epoch, value in enumerate(values, start=1):
            panel.add(split, epoch, float(value))
    return panel


def _legend(panel: Panel, looks: Mapping[str, Look]) -> "list[Artist]":
    from matplotlib.lines import Line2D

    dense = is_dense([panel])
    return [Line2D([], [], label=shorten(split, 40), **line_style(look, dense)) for split, look in looks.items()]


def _draw_curve(figure: "Figure", height: float, panel: Panel, looks: Mapping[str, Look]) -> None:
    """Draws the panel right of the text, from the top of a sheet of this height."""
    width, total = (float(side) for side in figure.get_size_inches())
    above, below, before = 0.4, 0.42, 0.5  # inches for the name, the epochs and the values
    left, bottom = width - MARGIN - _CURVE_WIDTH + before, MARGIN + height - _CURVE_HEIGHT + below
    sides = _CURVE_WIDTH - before, _CURVE_HEIGHT - above - below
    axes = figure.add_axes((left / width, bottom / total, sides[0] / width, sides[1] / total))
    ends = [f"{series.split} {number(series.values[-1])}" for series in panel.series.values()]
    label_axes(axes, shorten(panel.name, 30), [shorten("last: " + ", ".join(ends), 48)])
    draw_panel(axes, panel, looks, None, is_dense([panel]))
    set_count_axis(axes, 1, max((series.epochs[-1] for series in panel.series.values()), default=1))
    axes.set_xlabel("Epoch")
