from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from labwright.runs.plots import plot_neighbours

Texts = Callable[[Path], list[str]]


def test_each_query_stands_beside_what_was_found(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "neighbours.svg"
    known, queries = slice(0, 1000), slice(1000, 1012)
    searched = NearestNeighbors(n_neighbors=9).fit(digits.images[known].reshape(1000, -1))
    distances, found = searched.kneighbors(digits.images[queries].reshape(12, -1))
    targets = digits.targets[known][found]
    plot_neighbours(
        digits.images[queries], digits.images[known][found], digits.targets[queries], targets, distances, path,
        "embed_digits", class_names=[f"digit {label}" for label in range(10)],
    )  # fmt: skip
    shown = texts(path)
    share = (targets == digits.targets[queries][:, None]).mean()
    assert f"{share:.1%} of the neighbours have the query's label · the first 10 of 12 queries" in shown
    assert len([text for text in shown if text.startswith("digit ")]) == 10 * (1 + 8)
    assert f"{distances[0, 0]:.4g}" in shown


def test_labels_may_be_texts_and_distances_missing(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "neighbours.svg"
    found = digits.images[:2][None]
    plot_neighbours(digits.images[:1], found, ["$a"], [["$a", "b"]], [[0.5, np.nan]], path, "one query")
    shown = texts(path)
    assert shown.count("$a") == 2
    assert {"b", "0.5", "NaN", "50.0% of the neighbours have the query's label"} <= set(shown)


@pytest.mark.parametrize(("num_queries", "num_neighbours"), [(0, 0), (0, 3), (2, 0)])
def test_nothing_found_says_so(tmp_path: Path, texts: Texts, num_queries: int, num_neighbours: int) -> None:
    path = tmp_path / "neighbours.svg"
    shape = (num_queries, num_neighbours)
    found = np.zeros((*shape, 3, 8, 8))
    plot_neighbours(
        np.zeros((num_queries, 3, 8, 8)), found, np.zeros(num_queries), np.zeros(shape), np.zeros(shape), path, "t"
    )
    assert "No neighbours to show" in texts(path)


def test_shapes_that_do_not_fit_together_are_refused(tmp_path: Path, digits: Any) -> None:
    queries, path = digits.images[:2], tmp_path / "a.png"
    found, labels, table = digits.images[:6].reshape(2, 3, 8, 8), [0, 1], np.zeros((2, 3))
    with pytest.raises(ValueError, match=r"query_labels must be \[2\], a label per query, not \[1\]"):
        plot_neighbours(queries, found, [0], table, table, path, "t")
    with pytest.raises(ValueError, match=r"neighbours must be \[2, k, 8, 8\], not \[6, 8, 8\]"):
        plot_neighbours(queries, digits.images[:6], labels, table, table, path, "t")
    with pytest.raises(ValueError, match=r"distances must be \[2, 3\], not \[2, 2\]"):
        plot_neighbours(queries, found, labels, table, table[:, :2], path, "t")
