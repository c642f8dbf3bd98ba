"""The prediction sheet of an image classifier: what it gets wrong, and how sure it was."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .images import LABEL_HEIGHT, Cells, checked_images, displayable, draw_tile, tile_size
from .style import BLUE, INK, VERMILLION, say_empty, sheet, shorten

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_NUM_COLUMNS, _MOST_TILES = 8, 32
_SIDE = 1.0  # inches


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
    pixels = checked_images(np.asarray(images)[chosen])
    tile_width, tile_height = tile_size(pixels, _SIDE)
    cells = Cells(tile_width, tile_height, _SIDE, tile_height + 3 * LABEL_HEIGHT + 0.1, above=LABEL_HEIGHT)
    width, height = cells.size(max(1, math.ceil(chosen.size / num_columns)), num_columns)
    subtitle = _subtitle(chosen.size, shows_mistakes, num_total, num_wrong)
    with sheet(path, title, subtitle=subtitle, width=width, height=height) as (figure, axes):
        if not chosen.size:
            say_empty(figure, "No predictions to show")
        for position, (tile, index) in enumerate(zip(displayable(pixels), chosen, strict=True)):
            true, predicted = (_name(int(labels[index]), class_names) for labels in (targets, predictions))
            x, y = cells.corner(*divmod(position, num_columns))
            color = BLUE if true == predicted else VERMILLION
            draw_tile(axes, cells, (x, y), tile, (predicted, f"{confidences[index]:.1%}"), color=color)
            middle = x + tile_width / 2
            axes.text(middle, y - 0.03, true, ha="center", va="bottom", fontsize=8.0, color=INK)


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
