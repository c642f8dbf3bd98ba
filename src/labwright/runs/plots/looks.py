"""How each split is drawn, so that it can be told apart in colour, in greyscale, with markers and without."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from .panels import role
from .style import BLUE, GREEN, INK, ORANGE, PURPLE, SKY, VERMILLION


class Look(NamedTuple):
    """How one split is drawn; a linestyle of "none" is a mark by itself."""

    color: str
    linestyle: Any
    marker: str


# Each look differs in colour, dash and marker, so that any one of them is enough.
_TRAIN_LOOKS = [Look(BLUE, "-", "o"), Look(SKY, (0, (6, 1)), "p"), Look("#00507D", (0, (1, 1)), "h")]
_VAL_LOOKS = [
    Look(VERMILLION, (0, (4, 1.3)), "s"),
    Look(PURPLE, (0, (1.2, 1.2)), "^"),
    Look(ORANGE, (0, (6, 1.5, 1, 1.5)), "v"),
    Look("#8C3D00", (0, (3, 1, 1, 1, 1, 1)), "P"),
    Look("#7A3E5E", (0, (8, 2)), "X"),
]
_TEST_LOOKS = [
    Look(GREEN, "none", "D"),
    Look(INK, "none", "*"),
    Look("#B8B000", "none", "d"),
    Look(SKY, "none", "P"),
]
LEARNING_RATE_LOOK = Look(INK, "-", ".")


def looks_of(splits: Sequence[str]) -> dict[str, Look]:
    """A look per split, the same in every picture of runs with these splits."""
    choices = {"train": _TRAIN_LOOKS, "val": _VAL_LOOKS, "test": _TEST_LOOKS}
    looks: dict[str, Look] = {}
    for split in splits:
        alike = choices[role(split)]
        looks[split] = alike[sum(role(other) == role(split) for other in looks) % len(alike)]
    return looks


def line_style(look: Look, dense: bool) -> dict[str, Any]:
    """Markers on a solid line while there is room for them, then dashes."""
    is_mark = look.linestyle == "none"
    return {
        "color": look.color,
        "linestyle": look.linestyle if dense or is_mark else "-",
        "linewidth": 1.2 if dense else 1.5,
        "marker": "" if dense and not is_mark else look.marker,
        "markersize": {"*": 11.0, "D": 7.0, "d": 8.5, ".": 6.5}.get(look.marker, 4.8),
        "markeredgecolor": "white",
        "markeredgewidth": 0.6,
    }
