"""What a contact sheet shows of a sample: a picture, a curve or text, whatever its field holds."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from labwright.args.wording import spelled

from .values import array_title, is_array, value_text

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_CHANNELS = (1, 2, 3, 4)
"""Of an image: grey, grey and alpha, RGB, RGBA."""
_LARGEST = 1e150
"""What is beyond counts as not finite, as in all pictures."""


@dataclass
class Tile:
    """One sample on the sheet; of `pixels`, `values`, `curve` and `text` one says what it is."""

    label: str = ""
    """Below it, in black: its class."""
    note: str = ""
    """Below that, in grey: its key."""
    pixels: "NDArray[np.uint8] | None" = None
    """An image, `[H, W, 3]`."""
    values: "NDArray[np.float64] | None" = None
    """A heat map, `[H, W]`."""
    curve: "NDArray[np.float64] | None" = None
    """A line, `[n]`."""
    text: str = ""
    mask: "NDArray[np.int64] | None" = None
    """Class numbers over the image, `[H, W]`, of any size."""
    problem: str = ""
    """Why the sample cannot be shown, in full; `text` then says it without the sample's place."""

    @property
    def shape(self) -> tuple[int, int] | None:
        """Height and width of the picture, if it is one."""
        picture = self.pixels if self.pixels is not None else self.values
        return None if picture is None else (picture.shape[0], picture.shape[1])


def tile_of(value: Any, class_names: Sequence[str] = ()) -> Tile:
    """The tile of a decoded field, without a label."""
    if isinstance(value, Mapping):
        arrays = [each for each in value.values() if is_array(each)]
        return tile_of(arrays[0]) if len(arrays) == 1 else Tile(text=_lines(value))
    if not is_array(value):
        return Tile(text=value_text(value, class_names))
    pixels = _image(value)
    if pixels is not None:
        return Tile(pixels=pixels)
    if value.dtype.kind not in "buif" or value.size == 0:
        return Tile(text=array_title(value))
    if value.ndim < 1 or value.size == 1:
        return Tile(text=f"{value.item():.6g}")
    if value.ndim == 1:
        return Tile(curve=value.astype(float))
    first = value[(0,) * (value.ndim - 2)]
    return Tile(values=first.astype(float))


def _lines(value: Mapping[str, Any]) -> str:
    """A line for each name: `boxes: [[1, 2, 3, 4]]`."""
    texts = {name: array_title(each) if is_array(each) else spelled(each) for name, each in value.items()}
    return "\n".join(f"{name}: {text}" for name, text in texts.items())


def shrink(tile: Tile, longest: int) -> None:
    """Keep of a picture or a curve no more than can be seen where `longest` pixels are drawn."""
    import numpy as np

    if tile.pixels is not None and max(tile.pixels.shape) > longest:
        from PIL import Image

        picture = Image.fromarray(tile.pixels)
        picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
        tile.pixels = np.asarray(picture)
    if tile.values is not None:
        tile.values = _every(tile.values, longest)
    if tile.mask is not None:
        tile.mask = _every(tile.mask, longest)
    if tile.curve is not None and len(tile.curve) > 2 * longest:
        step = len(tile.curve) // longest
        parts = tile.curve[: len(tile.curve) // step * step].reshape(-1, step)
        tile.curve = np.stack([parts.min(axis=1), parts.max(axis=1)], axis=1).reshape(-1)


def _every(values: "NDArray[Any]", longest: int) -> "NDArray[Any]":
    step = math.ceil(max(values.shape) / longest)
    return values[::step, ::step].copy() if step > 1 else values


def mask_of(value: Any) -> "NDArray[np.int64]":
    """The class numbers of a decoded mask. A ValueError where it is none."""
    import numpy as np

    if not is_array(value) or value.ndim != 2 or value.dtype.kind not in "bui" or not value.size:
        found = array_title(value) if is_array(value) else type(value).__name__
        raise ValueError(f"a mask is an array [H, W] of class numbers, not {found}")
    return value.astype(np.int64)


def blank(mask: "NDArray[np.int64]") -> "NDArray[np.uint8]":
    """White paper to lay a mask on."""
    import numpy as np

    return np.full((*mask.shape, 3), 255, np.uint8)


def classes_of(tiles: Iterable[Tile], background: int = 0) -> list[int]:
    """The classes in the masks, without the background."""
    import numpy as np

    found: set[int] = set()
    for tile in tiles:
        if tile.mask is not None:
            found.update(np.unique(tile.mask).tolist())
    return sorted(found - {background})


def value_range(tiles: Iterable[Tile]) -> tuple[float, float]:
    """The least and the largest of the heat maps' finite values."""
    import numpy as np

    finite = [values[np.abs(values) < _LARGEST] for tile in tiles if (values := tile.values) is not None]
    lows, highs = ([float(pick(each)) for each in finite if each.size] for pick in (np.min, np.max))
    return (min(lows), max(highs)) if lows else (0.0, 1.0)


def painted(values: "NDArray[np.float64]", between: tuple[float, float]) -> "NDArray[np.uint8]":
    """A heat map in colours that differ in lightness too, `[H, W, 3]`; what is not finite is purple."""
    import numpy as np
    from matplotlib import colormaps
    from matplotlib.colors import to_rgb

    from labwright.runs.plots.style import PURPLE

    low, high = between
    is_finite = np.abs(values) < _LARGEST
    shares = (np.where(is_finite, values, low) - low) / ((high - low) or 1.0)
    colors = colormaps["viridis"](shares)[..., :3]
    colors[~is_finite] = to_rgb(PURPLE)
    return _bytes(colors)


def _image(value: "np.ndarray") -> "NDArray[np.uint8] | None":
    """The array as an image `[H, W, 3]`, if it is one: bytes or bits, or numbers with the channels of a colour."""
    import numpy as np

    if value.dtype.kind not in "buif" or value.size == 0 or value.ndim not in (2, 3):
        return None
    if value.ndim == 3:
        if value.shape[-1] not in _CHANNELS:
            value = np.moveaxis(value, 0, -1)
        if value.shape[-1] not in _CHANNELS:
            return None
    is_bytes = value.dtype == np.uint8 or value.dtype == np.bool_
    if not is_bytes and (value.ndim == 2 or value.shape[-1] < 3):
        return None
    channels = (value if value.ndim == 3 else value[..., None]) / (255 if value.dtype == np.uint8 else 1)
    return _bytes(_on_white(channels if is_bytes else _unit_range(channels.astype(float))))


def _unit_range(channels: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """From 0 to 1; what is within stays as it is."""
    import numpy as np

    finite = channels[np.abs(channels) < _LARGEST]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 1.0)
    if low < 0 or high > 1:
        channels = (channels - low) / ((high - low) or 1.0)
    return np.nan_to_num(channels.clip(0, 1))


def _on_white(channels: "NDArray[np.float64]") -> "NDArray[np.float64]":
    """Grey, grey and alpha, RGB or RGBA as RGB."""
    import numpy as np

    has_alpha = channels.shape[-1] in (2, 4)
    colors = channels[..., :-1] if has_alpha else channels
    colors = np.broadcast_to(colors, (*colors.shape[:2], 3))
    if not has_alpha:
        return colors
    alpha = channels[..., -1:]
    return colors * alpha + (1 - alpha)


def _bytes(colors: "NDArray[np.float64]") -> "NDArray[np.uint8]":
    import numpy as np

    return np.round(colors * 255).astype(np.uint8)
