"""Rows of images above each other, such as clean, noisy and denoised: a column per sample."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .images import (
    GAP,
    LABEL_HEIGHT,
    Cells,
    checked_images,
    count_broken,
    displayable,
    draw_tile,
    tile_size,
    value_range,
)
from .style import INK, MUTED, fit, join_notes, say_empty, sheet

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from numpy.typing import NDArray

_MOST_COLUMNS = 10
_NAME_SIZE = 8.5


def plot_image_rows(
    rows: "Mapping[str, NDArray[Any]]",
    path: Path,
    title: str,
    *,
    subtitle: str = "",
    notes: Mapping[str, Sequence[str]] | None = None,
) -> None:
    """Draws each row of images, `[n, H, W]` or `[n, C, H, W]`, beside its name, with its notes below the images.

    All rows are drawn on the scale from black to white of the first row, the reference: what goes beyond is clipped.
    The first ten columns are shown.
    """
    pixels = {name: checked_images(images, f"rows[{name!r}]") for name, images in rows.items()}
    counts = {name: len(images) for name, images in pixels.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"every row must have as many images as the others, not {counts}")
    num_images = next(iter(counts.values()), 0)
    for name, texts in (notes or {}).items():
        if len(texts) != counts.get(name, 0):
            raise ValueError(f"notes[{name!r}]: {len(texts)} notes for {counts.get(name, 0)} images")
    shown = {name: images[:_MOST_COLUMNS] for name, images in pixels.items()}
    reference = value_range(next(iter(shown.values()))) if shown else None
    broken = {name: count_broken(images) for name, images in shown.items()}
    selection = f"the first {_MOST_COLUMNS} of {num_images:,}" if num_images > _MOST_COLUMNS else ""
    note = join_notes(subtitle, selection, *(f"{name}: {text}" for name, text in broken.items() if text))
    tiles = {name: displayable(images, reference) for name, images in shown.items()}
    draw_rows(tiles, path, title, subtitle=note, notes=notes or {})


def draw_rows(
    rows: "Mapping[str, NDArray[np.float64]]",
    path: Path,
    title: str,
    *,
    subtitle: str,
    notes: Mapping[str, Sequence[str]],
    legend: "Sequence[Artist]" = (),
) -> None:
    """Draws rows of displayable images, `[n, H, W, 3]`, each with its name at the left."""
    num_columns = max((len(tiles) for tiles in rows.values()), default=0)
    side = min(1.2, max(0.62, 6.0 / max(1, num_columns)))
    layout = _layout(rows, notes, side)
    width = layout[0].size(1, num_columns)[0] if layout else 0.0
    height = sum(cells.height + GAP for cells in layout) - GAP if num_columns else 0.6
    with sheet(path, title, subtitle=subtitle, legend=legend, width=width, height=height) as (figure, axes):
        if not num_columns:
            say_empty(figure, "No images to show")
            return
        top = 0.0
        for (name, tiles), cells in zip(rows.items(), layout, strict=True):
            middle = top + cells.tile_height / 2
            axes.text(0, middle, fit(name, 1.6, _NAME_SIZE), va="center", fontsize=_NAME_SIZE, color=INK)
            for column, tile in enumerate(tiles):
                label = (notes[name][column],) if name in notes else ()
                draw_tile(axes, cells, (cells.corner(0, column)[0], top), tile, label, color=MUTED)
            top += cells.height + GAP


def _layout(rows: "Mapping[str, NDArray[np.float64]]", notes: Mapping[str, Sequence[str]], side: float) -> list[Cells]:
    """Cells of one row for each row: images of another size are drawn as large, notes need room."""
    left = min(1.6, 0.075 * max(map(len, rows), default=0)) + 0.12
    sizes = {name: tile_size(tiles[..., 0], side) for name, tiles in rows.items()}
    cell_width = max((width for width, _ in sizes.values()), default=0)
    return [
        Cells(width, height, cell_width, height + (LABEL_HEIGHT if name in notes else 0), left)
        for name, (width, height) in sizes.items()
    ]
