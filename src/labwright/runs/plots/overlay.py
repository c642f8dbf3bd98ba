"""Segmentation: what was there, what was found, and which pixels are wrong."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .image_rows import draw_rows
from .images import checked_images, count_broken, displayable
from .looks import class_look
from .style import INK, join_notes, shorten

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from numpy.typing import NDArray

_MOST_SAMPLES, _MOST_NAMES = 8, 24
_OPACITY = 0.65
_GAP = "#9A9A9A"


def plot_overlay(
    images: "NDArray[Any]",
    targets: "NDArray[Any]",
    predictions: "NDArray[Any]",
    class_names: Sequence[str],
    path: Path,
    title: str,
    *,
    subtitle: str = "",
    background: int | None = 0,
    ignored: int | None = None,
) -> None:
    """Draws per sample the image, the true and the predicted mask over it, and the wrong pixels in black.

    Images are `[n, H, W]` or `[n, C, H, W]`, masks `[n, H, W]` of class numbers. The background class is not painted;
    pixels whose target is `ignored` are grey and never wrong. Without class names the classes are numbered. The first
    eight samples are shown; the share of wrong pixels is that of all.
    """
    import numpy as np

    pixels = checked_images(images)
    true = _checked_masks(targets, "targets", pixels, len(class_names), ignored)
    predicted = _checked_masks(predictions, "predictions", pixels, len(class_names), None)
    gaps = np.zeros(true.shape, bool) if ignored is None else true == ignored
    wrong = (true != predicted) & ~gaps
    selection = f"the first {_MOST_SAMPLES} of {len(pixels):,} samples" if len(pixels) > _MOST_SAMPLES else ""
    share = f"{wrong.sum() / max(1, (~gaps).sum()):.2%} of the pixels are wrong" if len(pixels) else ""
    shown = slice(_MOST_SAMPLES)
    plain = displayable(pixels[shown])
    rows = {
        "Image": plain,
        "True": _fill(_paint(plain, true[shown], background, ignored), gaps[shown], _GAP),
        "Predicted": _paint(plain, predicted[shown], background),
        "Wrong": _fill(_fill(0.75 + 0.25 * plain, gaps[shown], _GAP), wrong[shown], INK),
    }
    shares = wrong[shown].sum(axis=(1, 2)) / np.maximum(1, (~gaps[shown]).sum(axis=(1, 2)))
    classes = {int(label) for label in np.union1d(true[shown], predicted[shown])} - {background, ignored}
    draw_rows(
        rows,
        path,
        title,
        subtitle=join_notes(subtitle, share, selection, count_broken(pixels[shown])),
        notes={"Wrong": [f"{share:.1%}" for share in shares]},
        legend=_legend(sorted(classes), class_names, has_gaps=bool(gaps[shown].any())) if len(pixels) else (),
    )


def _checked_masks(
    masks: "NDArray[Any]", name: str, pixels: "NDArray[np.float64]", num_classes: int, ignored: int | None
) -> "NDArray[np.int64]":
    import numpy as np

    masks = np.asarray(masks)
    expected = (len(pixels), *pixels.shape[-2:])
    if not len(pixels) and not len(masks):
        return np.zeros(expected, np.int64)
    if masks.shape != expected:
        raise ValueError(f"{name} must be {list(expected)} like the images, not {list(masks.shape)}")
    if masks.dtype.kind not in "bui":
        raise ValueError(f"{name} must be class numbers, not {masks.dtype}")
    masks = masks.astype(np.int64)
    known = range(num_classes or int(masks.max()) + 1)
    if unknown := sorted({int(label) for label in np.unique(masks)} - {*known, ignored}, key=int):
        raise ValueError(f"{name} have the class {unknown[0]}, but there are {len(known)} classes, from 0")
    return masks


def _paint(tiles: "NDArray[np.float64]", masks: "NDArray[np.int64]", *unpainted: int | None) -> "NDArray[np.float64]":
    """The images with each class's colour laid over its pixels."""
    import numpy as np

    for label in np.unique(masks):
        if label not in unpainted:
            tiles = _fill(tiles, masks == label, class_look(int(label)).color, _OPACITY)
    return tiles


def _fill(
    tiles: "NDArray[np.float64]", where: "NDArray[np.bool_]", color: str, opacity: float = 1.0
) -> "NDArray[np.float64]":
    import numpy as np
    from matplotlib.colors import to_rgb

    return np.where(where[..., None], (1 - opacity) * tiles + opacity * np.array(to_rgb(color)), tiles)


def _legend(classes: Sequence[int], class_names: Sequence[str], *, has_gaps: bool) -> list["Artist"]:
    from matplotlib.patches import Patch

    names = {label: class_names[label] if class_names else f"class {label}" for label in classes[:_MOST_NAMES]}
    legend: list[Artist] = [
        Patch(color=class_look(label).color, label=shorten(name, 24)) for label, name in names.items()
    ]
    if has_gaps:
        legend.append(Patch(color=_GAP, label="no label"))
    return [*legend, Patch(color=INK, label="wrong")]
