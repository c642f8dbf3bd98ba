"""Images as arrays, made ready to be drawn as tiles: what every picture of images shares."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from .panels import LARGEST_DRAWN
from .style import INK, PURPLE, fit

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

FRAME = "#C8C8C8"
GAP, LABEL_HEIGHT = 0.08, 0.15  # inches between cells, and per line of text
_LABEL_SIZE = 7.5


class Cells(NamedTuple):
    """Where the tiles of a sheet stand, in inches: each in the middle of its cell, right of `left`, below `above`."""

    tile_width: float
    tile_height: float
    width: float
    height: float
    left: float = 0.0
    above: float = 0.0

    def corner(self, row: int, column: int) -> tuple[float, float]:
        """The upper left corner of a tile."""
        x = self.left + column * (self.width + GAP) + (self.width - self.tile_width) / 2
        return x, row * (self.height + GAP) + self.above

    def size(self, num_rows: int, num_columns: int) -> tuple[float, float]:
        """Width and height of so many rows and columns."""
        return self.left + num_columns * (self.width + GAP) - GAP, num_rows * (self.height + GAP) - GAP


def checked_images(images: "NDArray[Any]", name: str = "images") -> "NDArray[np.float64]":
    """The images as floats, uint8 as shares of 255. A ValueError unless they are `[n, H, W]` or `[n, C, H, W]`."""
    import numpy as np

    images = np.asarray(images)
    if images.shape[:1] == (0,):
        return np.zeros((0, 1, 1))
    if images.ndim not in (3, 4) or 0 in images.shape:
        raise ValueError(f"{name} must be [n, H, W] or [n, C, H, W], not {list(images.shape)}")
    if images.dtype.kind not in "buif":
        raise ValueError(f"{name} must be numbers, not {images.dtype}")
    return images.astype(np.float64) / (255 if images.dtype == np.uint8 else 1)


def value_range(pixels: "NDArray[np.float64]") -> tuple[float, float]:
    """The values drawn black and white: 0 and 1, or the smallest and the largest where some lie outside of these."""
    import numpy as np

    finite = pixels[np.abs(pixels) < LARGEST_DRAWN]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    return (0.0, 1.0) if low >= 0 and high <= 1 else (low, high)


def displayable(pixels: "NDArray[np.float64]", between: tuple[float, float] | None = None) -> "NDArray[np.float64]":
    """Checked images as `[n, H, W, 3]` from 0 to 1: red, green and blue, or the first channel in grey.

    Values outside `between` (default: `value_range`) are clipped; pixels that are not finite are purple.
    """
    import numpy as np
    from matplotlib.colors import to_rgb

    low, high = between or value_range(pixels)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels
    pixels = np.moveaxis(pixels[:, :3] if pixels.shape[1] >= 3 else pixels[:, [0, 0, 0]], 1, -1)
    is_finite = np.abs(pixels) < LARGEST_DRAWN
    shades = np.clip((np.where(is_finite, pixels, low) - low) / ((high - low) or 1), 0, 1)
    shades[~is_finite.all(axis=-1)] = to_rgb(PURPLE)
    return shades


def count_broken(pixels: "NDArray[np.float64]") -> str:
    """A note for the subtitle if some images have pixels that are not finite, else an empty text."""
    import numpy as np

    is_finite = (np.abs(pixels) < LARGEST_DRAWN).all(axis=tuple(range(1, pixels.ndim)))
    num_broken = int((~is_finite).sum())
    return f"{num_broken} of {len(pixels)} with values that are not finite (purple)" if num_broken else ""


def tile_size(pixels: "NDArray[np.float64]", side: float) -> tuple[float, float]:
    """Width and height of a tile whose longer side is `side`, and whose shorter one can still be seen."""
    height, width = pixels.shape[-2:]
    longest = max(height, width)
    return max(side * width / longest, 0.1 * side), max(side * height / longest, 0.1 * side)


def draw_tile(
    axes: "Axes",
    cells: Cells,
    corner: tuple[float, float],
    tile: "NDArray[np.float64]",
    labels: Sequence[str] = (),
    *,
    color: str = INK,
    frame: str = FRAME,
    frame_width: float = 0.5,
) -> None:
    """Draws a displayable image in a frame on a sheet, and below it its labels, one to a line."""
    from matplotlib.patches import Rectangle

    (x, y), width, height = corner, cells.tile_width, cells.tile_height
    axes.imshow(tile, extent=(x, x + width, y + height, y), aspect="auto")
    axes.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=frame, linewidth=frame_width))
    for line, label in enumerate(labels):
        below = y + height + 0.03 + line * LABEL_HEIGHT
        text = fit(label, cells.width, _LABEL_SIZE)
        axes.text(x + width / 2, below, text, ha="center", va="top", fontsize=_LABEL_SIZE, color=color)
