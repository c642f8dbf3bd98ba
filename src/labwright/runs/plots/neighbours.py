"""What an embedding finds similar: query images beside their nearest neighbours."""

# matplotlib's stubs leave **kwargs untyped.
# pyright: reportUnknownMemberType=false

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .images import LABEL_HEIGHT, Cells, checked_images, count_broken, displayable, draw_tile, tile_size, value_range
from .style import BLUE, MUTED, VERMILLION, join_notes, number, say_empty, sheet

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.artist import Artist
    from numpy.typing import NDArray

_MOST_QUERIES, _MOST_NEIGHBOURS = 10, 8
_SIDE, _AISLE, _HEADING = 0.8, 0.3, 0.22  # inches: of a tile, between query and neighbours, above both


def plot_neighbours(
    queries: "NDArray[Any]",
    neighbours: "NDArray[Any]",
    query_labels: "Sequence[object] | NDArray[Any]",
    neighbour_labels: "Sequence[Sequence[object]] | NDArray[Any]",
    distances: "Sequence[Sequence[float]] | NDArray[Any]",
    path: Path,
    title: str,
    *,
    subtitle: str = "",
    class_names: Sequence[str] = (),
) -> None:
    """Draws a row per query image: its nearest neighbours, framed blue where they have its label, else vermillion.

    `queries` are `[q, ...]` and `neighbours` `[q, k, ...]` images, nearest first, with labels and distances `[q, k]`.
    The first ten queries and eight neighbours are shown; the subtitle counts all.
    """
    import numpy as np

    asked = checked_images(queries, "queries")
    found, labels, returned = np.asarray(neighbours), np.asarray(query_labels), np.asarray(neighbour_labels)
    spans = np.asarray(distances, dtype=np.float64)
    _check_shapes(asked, found, labels, returned, spans)
    same = returned == labels[:, None] if len(asked) else np.zeros((0, 0), bool)
    num_rows, num_columns = min(_MOST_QUERIES, len(asked)), min(_MOST_NEIGHBOURS, same.shape[1])
    found = checked_images(found[:num_rows, :num_columns].reshape(-1, *found.shape[2:]), "neighbours")
    asked = asked[:num_rows]
    between = value_range(found)
    tiles = displayable(found, between)
    cells = _layout(asked)
    width, height = cells.size(max(1, num_rows), num_columns)
    height += _HEADING
    share = f"{same.sum() / max(1, same.size):.1%} of the neighbours have the query's label" if same.size else ""
    selection = f"the first {num_rows} of {len(labels):,} queries" if num_rows < len(labels) else ""
    note = join_notes(subtitle, share, selection, count_broken(found))
    legend = _legend() if same.size else ()
    with sheet(path, title, subtitle=note, legend=legend, width=width, height=height) as (figure, axes):
        if not same.size:
            say_empty(figure, "No neighbours to show")
            return
        axes.text(0, 0, "Query", va="top", fontsize=8.5, color=MUTED)
        axes.text(cells.left, 0, "Nearest first, with distance", va="top", fontsize=8.5, color=MUTED)
        for row, query in enumerate(displayable(asked, between)):
            y = cells.corner(row, 0)[1]
            draw_tile(axes, cells, (0, y), query, [_name(labels[row], class_names)])
            for column in range(num_columns):
                color = BLUE if same[row, column] else VERMILLION
                text = _name(returned[row, column], class_names), number(float(spans[row, column]))
                tile = tiles[row * num_columns + column]
                draw_tile(axes, cells, cells.corner(row, column), tile, text, color=color, frame=color, frame_width=2)


def _check_shapes(
    asked: "NDArray[Any]",
    found: "NDArray[Any]",
    labels: "NDArray[Any]",
    returned: "NDArray[Any]",
    spans: "NDArray[Any]",
) -> None:
    """A ValueError that names what does not belong to the queries and their neighbours."""
    num_queries = len(asked)
    if labels.shape != (num_queries,):
        raise ValueError(f"query_labels must be [{num_queries}], a label per query, not {list(labels.shape)}")
    if not num_queries:
        return
    if found.ndim != asked.ndim + 1 or len(found) != num_queries:
        expected = ", ".join(["k", *map(str, asked.shape[1:])])
        raise ValueError(f"neighbours must be [{num_queries}, {expected}], not {list(found.shape)}")
    for name, values in (("neighbour_labels", returned), ("distances", spans)):
        if values.shape != found.shape[:2]:
            raise ValueError(f"{name} must be {list(found.shape[:2])}, not {list(values.shape)}")


def _layout(queries: "NDArray[np.float64]") -> Cells:
    width, height = tile_size(queries, _SIDE)
    below = 2 * LABEL_HEIGHT + 0.04
    return Cells(width, height, _SIDE, height + below, left=_SIDE + _AISLE, above=_HEADING)


def _name(label: object, class_names: Sequence[str]) -> str:
    text = str(label)
    is_known = text.isdecimal() and int(text) < len(class_names)
    return class_names[int(text)] if is_known else text


def _legend() -> "list[Artist]":
    from matplotlib.patches import Patch

    pairs = ((BLUE, "same label as the query"), (VERMILLION, "another label"))
    return [Patch(facecolor="white", edgecolor=color, linewidth=2, label=label) for color, label in pairs]
