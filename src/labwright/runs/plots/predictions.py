"""The prediction sheet of an image classifier: what it gets wrong, and how sure it was."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .style import BLUE, INK, MUTED, VERMILLION, picture, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

_NUM_COLUMNS, _MOST_TILES = 8, 32
_TILE_WIDTH, _TILE_HEIGHT = 1.12, 1.6


def plot_mistakes(
    images: "NDArray[Any]",
    targets: "NDArray[Any]",
    predictions: "NDArray[Any]",
    confidences: "NDArray[Any]",
    class_names: Sequence[str],
    path: Path,
    title: str,
    num_total: int,
    num_wrong: int,
) -> None:
    """Draws the most confident mistakes among the images, or, where there is none, the least confident correct ones.

    `images` is `[n, H, W]` or `[n, C, H, W]`; `num_total` and `num_wrong` count the whole split, of which the images
    may be a selection. `confidences` are the probabilities given to the predictions.
    """
    import numpy as np

    targets, predictions = np.asarray(targets), np.asarray(predictions)
    confidences = np.nan_to_num(np.asarray(confidences, dtype=np.float64), nan=0.0)
    chosen = choose_mistakes(targets, predictions, confidences)
    shows_mistakes = bool((targets != predictions).any())
    num_columns = min(_NUM_COLUMNS, max(4, chosen.size))
    num_rows = max(1, math.ceil(chosen.size / num_columns))
    tiles = _displayable(np.asarray(images)[chosen])
    subtitle = _subtitle(chosen.size, shows_mistakes, num_total, num_wrong)
    width, height = num_columns * _TILE_WIDTH + 0.2, num_rows * _TILE_HEIGHT
    with picture(path, title, subtitle=subtitle, width=width, height=height) as figure:
        for position, (tile, index) in enumerate(zip(tiles, chosen, strict=True)):
            axes = figure.add_subplot(num_rows, num_columns, position + 1)
            true, predicted = (_name(int(labels[index]), class_names) for labels in (targets, predictions))
            _draw_tile(axes, tile, true, predicted, float(confidences[index]))
        if not chosen.size:
            figure.text(0.5, 0.3, "No predictions to show", ha="center", color=MUTED)


def choose_mistakes(
    targets: "NDArray[Any]", predictions: "NDArray[Any]", confidences: "NDArray[Any]"
) -> "NDArray[np.intp]":
    """Positions of the samples worth showing: the most confident mistakes, or without any the least confident rest."""
    import numpy as np

    confidences = np.nan_to_num(np.asarray(confidences, dtype=np.float64), nan=0.0)
    wrong = np.flatnonzero(targets != predictions)
    if wrong.size:
        return wrong[np.argsort(-confidences[wrong], kind="stable")][:_MOST_TILES]
    return np.argsort(confidences, kind="stable")[:_MOST_TILES]


def _subtitle(num_shown: int, shows_mistakes: bool, num_total: int, num_wrong: int) -> str:
    share = f"{num_wrong:,} of {num_total:,} wrong ({num_wrong / max(num_total, 1):.2%})"
    if shows_mistakes:
        shown = "all" if num_shown == num_wrong else f"the {num_shown} most confident"
        return f"{share}; {shown} shown. Above: true label. Below: prediction, confidence."
    if num_wrong or not num_shown:
        return share
    return f"No mistakes in {num_total:,}. The least confident correct predictions."


def _name(label: int, class_names: Sequence[str]) -> str:
    return shorten(class_names[label] if 0 <= label < len(class_names) else str(label), 14)


def _displayable(images: "NDArray[Any]") -> "NDArray[np.float64]":
    """Images as `[n, H, W]` or `[n, H, W, 3]` between 0 and 1; what is outside that range is scaled together."""
    import numpy as np

    scale = 255.0 if images.dtype == np.uint8 else 1.0
    pixels = np.nan_to_num(images.astype(np.float64) / scale, posinf=1.0, neginf=0.0)
    if pixels.ndim == 4:
        pixels = np.moveaxis(pixels[:, :3], 1, -1) if pixels.shape[1] >= 3 else pixels[:, 0]
    low, high = (float(pixels.min()), float(pixels.max())) if pixels.size else (0.0, 1.0)
    return pixels if low >= 0 and high <= 1 else (pixels - low) / ((high - low) or 1)


def _draw_tile(axes: "Axes", tile: "NDArray[np.float64]", true: str, predicted: str, confidence: float) -> None:
    axes.imshow(tile, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[:].set_visible(False)
    color = BLUE if true == predicted else VERMILLION
    axes.set_title(true, fontsize=8.0, color=INK, pad=3)
    axes.set_xlabel(f"{predicted}\n{confidence:.1%}", fontsize=8.0, color=color, labelpad=3)
