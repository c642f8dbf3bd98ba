"""A sheet of images, such as the samples of a generator."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .images import GAP, LABEL_HEIGHT, Cells, checked_images, count_broken, displayable, draw_tile, tile_size
from .style import join_notes, say_empty, sheet

if TYPE_CHECKING:
    from numpy.typing import NDArray

_MOST_TILES = 400
_WIDTH = 6.6  # inches that the tiles share


def plot_image_grid(
    images: "NDArray[Any]",
    path: Path,
    title: str,
    *,
    subtitle: str = "",
    labels: Sequence[str] | None = None,
    num_columns: int | None = None,
) -> None:
    """Draws images `[n, H, W]` or `[n, C, H, W]` as tiles, row by row, each with its label below.

    All share one scale from black to white, as `value_range` finds it. The first 400 are shown.
    """
    pixels = checked_images(images)
    if labels is not None and len(labels) != len(pixels):
        raise ValueError(f"there must be a label per image: {len(labels)} labels for {len(pixels)} images")
    if num_columns is not None and num_columns < 1:
        raise ValueError(f"num_columns must be at least 1, not {num_columns}")
    shown = pixels[:_MOST_TILES]
    columns = min(num_columns or _num_columns(len(shown)), max(1, len(shown)))
    rows = math.ceil(len(shown) / columns)
    cells = _layout(tile_size(shown, min(1.2, max(0.3, _WIDTH / columns - GAP))), labels)
    width, height = cells.size(max(1, rows), columns)
    selection = f"the first {len(shown)} of {len(pixels):,}" if len(shown) < len(pixels) else ""
    note = join_notes(subtitle, selection, count_broken(shown))
    with sheet(path, title, subtitle=note, width=width, height=height) as (figure, axes):
        if not len(shown):
            say_empty(figure, "No images to show")
        for position, tile in enumerate(displayable(shown)):
            label = () if labels is None else (labels[position],)
            draw_tile(axes, cells, cells.corner(*divmod(position, columns)), tile, label)


def _num_columns(num_images: int) -> int:
    """A few images stand in one row, many in a square."""
    return max(1, num_images if num_images <= 5 else math.ceil(math.sqrt(num_images)))


def _layout(tile: tuple[float, float], labels: Sequence[str] | None) -> Cells:
    width, height = tile
    if not labels:
        return Cells(*tile, *tile)
    longest = min(1.2, 0.065 * max(map(len, labels)))
    return Cells(*tile, max(width, longest), height + LABEL_HEIGHT)
