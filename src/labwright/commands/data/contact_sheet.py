"""A contact sheet: tiles in rows, each with its class and its key below, pictures pixel by pixel."""

import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from labwright.runs.plots.images import FRAME, GAP
from labwright.runs.plots.looks import class_look
from labwright.runs.plots.style import (
    BLUE,
    DPI,
    INK,
    MARGIN,
    MUTED,
    VERMILLION,
    fit,
    number,
    plain,
    say_empty,
    sheet,
    shorten,
)

from .tiles import Tile, classes_of, painted, value_range

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

_WIDTH = 7.2  # inches that the tiles share
_LARGEST_TILE = 2.0
_MOST_NAMES = 16  # in the legend of the masks
_LABEL_SIZE, _NOTE_SIZE, _TEXT_SIZE = 7.5, 6.0, 6.0
_LABEL_HEIGHT, _NOTE_HEIGHT = 0.145, 0.115  # inches
_CHARACTER, _LINE = 0.602 * _TEXT_SIZE / 72, 1.3 * _TEXT_SIZE / 72  # inches that DejaVu Sans Mono takes
_PAD, _NUMBER = 0.06, 0.08  # inches around text and curves, and for a number above and below a curve
_PAPER = "#F5F5F2"
_OPACITY = 0.65
_PER_COLUMN = 0.15  # gaps, as a share of all tiles, that one column more or less is worth
_SAME_ASPECT = 0.1  # by how much the logarithms of two sides' ratio may differ
_NEAREST_FROM = 3
"""An image that is drawn this much larger shows its pixels, whole."""


class _Grid(NamedTuple):
    """Inches: where the tiles of a sheet stand."""

    num_columns: int
    num_rows: int
    width: float
    height: float
    caption: float

    def corner(self, position: int) -> tuple[float, float]:
        row, column = divmod(position, self.num_columns)
        return column * (self.width + GAP), row * (self.height + self.caption + GAP)

    @property
    def size(self) -> tuple[float, float]:
        below = self.height + self.caption + GAP
        return self.num_columns * (self.width + GAP) - GAP, max(0.6, self.num_rows * below - GAP)


def draw_contact_sheet(
    tiles: Sequence[Tile],
    path: Path,
    title: str,
    *,
    subtitle: str = "",
    class_names: Sequence[str] = (),
    num_columns: int | None = None,
) -> None:
    """Draws the tiles in their order; `class_names` are those of the masks' classes, of which 0 is not painted.

    Images of all sizes are fitted into equal cells; one much smaller than its cell shows its pixels. Heat maps share
    one scale.
    """
    grid = _grid(tiles, num_columns)
    between = value_range(tiles)
    classes = classes_of(tiles)
    legend = [*_mask_legend(classes, class_names), *_value_legend(tiles, between)]
    width, height = grid.size
    with sheet(path, title, subtitle=subtitle, legend=legend, width=width, height=height) as (figure, axes):
        if not tiles:
            say_empty(figure, "No samples to show")
        for position, tile in enumerate(tiles):
            x, y = grid.corner(position)
            if tile.shape is not None:
                _draw_picture(figure, grid, (x, y), height, _displayed(tile, grid, between))
            elif tile.curve is not None:
                _draw_curve(axes, grid, (x, y), tile.curve)
            else:
                _draw_text(axes, grid, (x, y), tile)
            _draw_caption(axes, grid, (x, y), tile)


# -- where the tiles stand


def _grid(tiles: Sequence[Tile], num_columns: int | None) -> _Grid:
    """Cells as wide to their height as most of the pictures are; text and curves get wider ones."""
    shapes = sorted(width / height for tile in tiles if (shape := tile.shape) for height, width in [shape])
    aspect = min(2.0, max(0.5, shapes[len(shapes) // 2])) if shapes else 1.6
    columns = max(1, min(num_columns or _num_columns(len(tiles), (1.6 if shapes else 0.6) / aspect), len(tiles)))
    width = min(_LARGEST_TILE * max(1.0, aspect), (_WIDTH + GAP) / columns - GAP)
    width, height = _as_drawn(tiles, width, width / aspect)
    if tiles and all(tile.text for tile in tiles):
        height = min(height, max(len(_text_lines(tile.text, width)) for tile in tiles) * _LINE + 2 * _PAD)
    caption = _LABEL_HEIGHT * any(tile.label for tile in tiles) + _NOTE_HEIGHT * any(tile.note for tile in tiles)
    return _Grid(columns, math.ceil(len(tiles) / columns), width, height, caption + 0.04 * bool(caption))


def _as_drawn(tiles: Sequence[Tile], width: float, height: float) -> tuple[float, float]:
    """The size of cells, no larger than what is drawn in them where that is of one size, and shows its pixels."""
    shapes = {tile.shape for tile in tiles}
    shape = shapes.pop() if len(shapes) == 1 else None
    factor = 0 if shape is None else int(min(width * DPI / shape[1], height * DPI / shape[0]))
    if shape is None or factor < _NEAREST_FROM:
        return width, height
    return (factor * shape[1] + 2) / DPI, (factor * shape[0] + 2) / DPI


def _num_columns(num_tiles: int, share: float) -> int:
    """Columns for a sheet somewhat wider than high; one more or less where that leaves fewer gaps in the last row."""
    usual = min(12, math.ceil(math.sqrt(num_tiles * share)))
    near = range(max(1, usual - 1), usual + 2)
    return min(near, key=lambda count: -num_tiles % count / max(1, num_tiles) + _PER_COLUMN * abs(count - usual))


# -- pictures


def _displayed(tile: Tile, grid: _Grid, between: tuple[float, float]) -> "NDArray[np.uint8]":
    """The picture in the pixels that it gets on the sheet, its mask over it, a thin frame around it."""
    pixels = tile.pixels if tile.values is None else painted(tile.values, between)
    assert pixels is not None
    pixels = _resized(pixels, round(grid.width * DPI), round(grid.height * DPI))
    if tile.mask is not None:
        pixels = _with_mask(pixels, tile.mask)
    room = (round(grid.height * DPI), round(grid.width * DPI))
    is_like_its_cell = abs(math.log(pixels.shape[1] * room[0] / (pixels.shape[0] * room[1]))) < _SAME_ASPECT
    if not is_like_its_cell:
        pixels = _on_paper(pixels, (room[0] - 2, room[1] - 2), _PAPER)
    return _on_paper(pixels, (pixels.shape[0] + 2, pixels.shape[1] + 2), FRAME)


def _on_paper(pixels: "NDArray[np.uint8]", size: tuple[int, int], color: str) -> "NDArray[np.uint8]":
    """The pixels in the middle of a paper of this height, width and colour, which are no smaller."""
    import numpy as np

    height, width = (max(pair) for pair in zip(size, pixels.shape, strict=False))
    paper = np.empty((height, width, 3), np.uint8)
    paper[:] = [int(color[place : place + 2], 16) for place in (1, 3, 5)]
    top, left = (height - pixels.shape[0]) // 2, (width - pixels.shape[1]) // 2
    paper[top : top + pixels.shape[0], left : left + pixels.shape[1]] = pixels
    return paper


def _resized(pixels: "NDArray[np.uint8]", width: int, height: int) -> "NDArray[np.uint8]":
    """As large as fits: by a whole factor where that shows the pixels, else smoothly."""
    import numpy as np
    from PIL import Image

    scale = min(width / pixels.shape[1], height / pixels.shape[0])
    if scale >= _NEAREST_FROM:
        return pixels.repeat(int(scale), axis=0).repeat(int(scale), axis=1)
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS))


def _with_mask(pixels: "NDArray[np.uint8]", mask: "NDArray[np.int64]") -> "NDArray[np.uint8]":
    """The classes' colours laid over the picture, their outlines in full colour."""
    import numpy as np
    from matplotlib.colors import to_rgb

    height, width = pixels.shape[:2]
    rows, columns = (np.arange(size) * of // size for size, of in zip((height, width), mask.shape, strict=True))
    labels = mask[rows[:, None], columns]
    colors = pixels / 255
    opacity = np.where(_outline(labels), 1.0, _OPACITY)[..., None]
    for label in np.unique(labels[labels != 0]):
        where = (labels == label)[..., None]
        color = np.array(to_rgb(class_look(int(label)).color))
        colors = np.where(where, (1 - opacity) * colors + opacity * color, colors)
    return np.round(colors * 255).astype(np.uint8)


def _outline(labels: "NDArray[np.int64]") -> "NDArray[np.bool_]":
    """The pixels whose neighbour has another class, two wide."""
    import numpy as np

    edge = np.zeros(labels.shape, bool)
    for shift in (1, 2):
        down, right = labels[shift:] != labels[:-shift], labels[:, shift:] != labels[:, :-shift]
        edge[shift:] |= down
        edge[:-shift] |= down
        edge[:, shift:] |= right
        edge[:, :-shift] |= right
    return edge


def _draw_picture(
    figure: "Figure", grid: _Grid, corner: tuple[float, float], sheet_height: float, pixels: "NDArray[np.uint8]"
) -> None:
    """Puts the pixels on the paper as they are, in the middle of their cell."""
    x, y = corner
    height, width = pixels.shape[:2]
    left = (MARGIN + x + grid.width / 2) * DPI - width / 2
    bottom = (MARGIN + sheet_height - y - grid.height / 2) * DPI - height / 2
    figure.figimage(pixels, round(left), round(bottom), origin="upper")


# -- curves and text


def _draw_curve(axes: "Axes", grid: _Grid, corner: tuple[float, float], values: "NDArray[np.float64]") -> None:
    import numpy as np

    _draw_paper(axes, grid, corner)
    finite = np.where(np.abs(values) < 1e150, values, np.nan)
    known = finite[~np.isnan(finite)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    shares = (finite - low) / (high - low) if high > low else finite * 0 + 0.5
    x, y = corner
    across = np.linspace(x + _PAD, x + grid.width - _PAD, len(values))
    top, room = y + _PAD + _NUMBER, grid.height - 2 * (_PAD + _NUMBER)
    axes.plot(across, top + (1 - shares) * room, color=BLUE, linewidth=0.8)
    for text, place, side in ((number(high), y + 0.03, "top"), (number(low), y + grid.height - 0.03, "bottom")):
        axes.text(x + 0.05, place, text, va=side, fontsize=5.5, color=MUTED)


def _draw_text(axes: "Axes", grid: _Grid, corner: tuple[float, float], tile: Tile) -> None:
    _draw_paper(axes, grid, corner, VERMILLION if tile.problem else None)
    lines, num_lines = _text_lines(tile.text, grid.width), max(1, round((grid.height - 2 * _PAD) / _LINE))
    shown = lines[:num_lines] if len(lines) <= num_lines else [*lines[: max(0, num_lines - 1)], "…"]
    text = "\n".join(line.replace("$", r"\$") for line in shown)
    x, y = corner
    axes.text(
        x + _PAD, y + _PAD, text, va="top", fontsize=_TEXT_SIZE, color=VERMILLION if tile.problem else INK,
        fontfamily="DejaVu Sans Mono", linespacing=1.2,
    )  # fmt: skip


def _text_lines(text: str, width: float) -> list[str]:
    num_columns = max(4, int((width - 2 * _PAD) / _CHARACTER))
    return [part for line in text.splitlines() for part in textwrap.wrap(line, num_columns) or [""]]


def _draw_paper(axes: "Axes", grid: _Grid, corner: tuple[float, float], edge: str | None = None) -> None:
    from matplotlib.patches import Rectangle

    axes.add_patch(Rectangle(corner, grid.width, grid.height, facecolor=_PAPER, edgecolor=edge or FRAME, linewidth=0.5))


def _draw_caption(axes: "Axes", grid: _Grid, corner: tuple[float, float], tile: Tile) -> None:
    x, y = corner[0] + grid.width / 2, corner[1] + grid.height + 0.04
    if tile.label:
        text = fit(tile.label, grid.width, _LABEL_SIZE)
        axes.text(x, y, text, ha="center", va="top", fontsize=_LABEL_SIZE, color=INK)
        y += _LABEL_HEIGHT
    if tile.note:
        axes.text(x, y, _end_of(tile.note, grid.width), ha="center", va="top", fontsize=_NOTE_SIZE, color=MUTED)


def _end_of(text: str, inches: float) -> str:
    """As much of the end of a key as fits: keys of a folder begin alike."""
    most = max(3, int(inches * 72 / _NOTE_SIZE / 0.6))
    return plain(text if len(text) <= most else "…" + text[len(text) - most + 1 :])


# -- legends


def _mask_legend(classes: Sequence[int], class_names: Sequence[str]) -> "list[Artist]":
    from matplotlib.patches import Patch

    if len(classes) > _MOST_NAMES:
        return [Patch(color="none", label=f"{len(classes):,} regions, a colour each, repeated after 12")]
    return [
        Patch(color=class_look(label).color, label=shorten(_class_name(label, class_names), 24)) for label in classes
    ]


def _class_name(label: int, class_names: Sequence[str]) -> str:
    return class_names[label] if 0 <= label < len(class_names) else f"class {label}"


def _value_legend(tiles: Sequence[Tile], between: tuple[float, float]) -> "list[Artist]":
    """What the lightness of the heat maps stands for: their least value, the one between, and the largest."""
    import numpy as np
    from matplotlib.patches import Patch

    if all(tile.values is None for tile in tiles):
        return []
    amounts = np.linspace(*between, 3)
    colors = painted(amounts[None], between)[0] / 255
    return [Patch(color=tuple(color), label=number(amount)) for color, amount in zip(colors, amounts, strict=True)]
