"""How each split and class is drawn, so that it can be told apart in colour, in greyscale, with markers and without."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .panels import role
from .style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION


class Look(NamedTuple):
    """How a split or a class is drawn; a linestyle of "none" is a mark by itself."""

    color: str
    linestyle: Any
    marker: str


# Looks differ in colour, and in dash or marker, so that either is enough.
_TRAIN_LOOKS = [
    Look(BLUE, "-", "o"),
    Look(SKY, (0, (6, 1)), "p"),
    Look("#00507D", (0, (1, 1)), "h"),
    Look("#8CA8D8", (0, (3, 2)), "8"),
]
_VAL_LOOKS = [
    Look(VERMILLION, (0, (4, 1.3)), "s"),
    Look(PURPLE, (0, (1.2, 1.2)), "^"),
    Look(ORANGE, (0, (6, 1.5, 1, 1.5)), "v"),
    Look("#8C3D00", (0, (3, 1, 1, 1, 1, 1)), "P"),
    Look("#7A3E5E", (0, (8, 2)), "X"),
    Look("#6A7B00", (0, (2, 2, 6, 2)), "<"),
    Look("#888888", (0, (5, 1, 1, 1, 1, 1)), ">"),
    Look("#44AA99", (0, (3, 3)), "H"),
    Look("#4B2E83", (0, (10, 1, 2, 1)), "d"),
    Look("#C2A25A", (0, (1, 3)), "D"),
]
_TEST_LOOKS = [
    Look(GREEN, "none", "D"),
    Look(INK, "none", "*"),
    Look("#B8B000", "none", "d"),
    Look(SKY, "none", "P"),
]
# Classes are told apart by colour and mark; the darker half follows the brighter one.
_CLASS_COLORS = (
    BLUE, VERMILLION, GREEN, PURPLE, ORANGE, SKY, "#7A3E5E", "#B8B000", "#00507D", "#8C3D00", "#888888", "#00573F",
)  # fmt: skip
_CLASS_MARKERS = "osD^vPX"
_MARK_SIZES, _LINE_MARKER_SIZES = {"*": 11.0, "D": 7.0, "d": 8.5}, {".": 6.5}
LEARNING_RATE_LOOK = Look(INK, "-", ".")


def looks_of(splits: Sequence[str]) -> dict[str, Look]:
    """A look per split, the same in every picture of runs with these splits."""
    choices = {"train": _TRAIN_LOOKS, "val": _VAL_LOOKS, "test": _TEST_LOOKS}
    looks: dict[str, Look] = {}
    for split in splits:
        alike = choices[role(split)]
        looks[split] = alike[sum(role(other) == role(split) for other in looks) % len(alike)]
    return looks


def class_look(index: int) -> Look:
    """How the samples of a class are drawn: the first 84 classes differ in colour or in mark."""
    color = _CLASS_COLORS[index % len(_CLASS_COLORS)]
    return Look(color, "none", _CLASS_MARKERS[index % len(_CLASS_MARKERS)])


def line_style(look: Look, dense: bool) -> dict[str, Any]:
    """Markers on a solid line while there is room for them, then dashes."""
    is_mark = look.linestyle == "none"
    return {
        "color": look.color,
        "linestyle": look.linestyle if dense or is_mark else "-",
        "linewidth": 1.2 if dense else 1.5,
        "marker": "" if dense and not is_mark else look.marker,
        "markersize": (_MARK_SIZES if is_mark else _LINE_MARKER_SIZES).get(look.marker, 4.8),
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }


def chosen_mark(look: Look) -> dict[str, Any]:
    """The one point of a curve that was chosen."""
    return {
        "color": look.color,
        "linestyle": "none",
        "marker": look.marker,
        "markersize": 6.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.8,
    }
