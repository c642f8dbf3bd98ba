from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.decomposition import PCA

from labwright.runs.plots import plot_embedding
from labwright.runs.plots.embedding import spread

Texts = Callable[[Path], list[str]]


def test_each_class_is_named_at_its_centre(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "embedding.svg"
    points = PCA(2).fit_transform(digits.images.reshape(len(digits.images), -1))
    points[7] = np.nan
    labels = np.where(np.arange(len(points)) < 20, -1, digits.targets)
    plot_embedding(points, labels, [f"${label}" for label in range(10)], path, "embed_digits", subtitle="PCA")
    shown = texts(path)
    assert "PCA · 1,796 samples · 1 not finite" in shown
    assert [shown.count(f"${label}") for label in range(10)] == [1] * 10


def test_more_long_names_than_fit_go_into_a_legend_by_number(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "embedding.svg"
    labels = np.arange(24) % 12
    plot_embedding(np.eye(24)[:, :2], labels, [f"person {label}" for label in range(12)], path, "t")
    shown = texts(path)
    assert {"11", "11  person 11", "0", "0  person 0"} <= set(shown)


def test_short_names_need_no_legend_and_the_largest_classes_are_named(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "embedding.svg"
    labels = np.concatenate([np.arange(100), np.arange(59), [99]])
    plot_embedding(np.random.default_rng(0).normal(size=(160, 2)), labels, (), path, "t")
    shown = texts(path)
    assert "160 samples · the 60 largest of 100 classes named" in shown
    assert "99" in shown and "98" not in shown


@pytest.mark.parametrize("num_points", [1, 2, 30_000])
def test_any_number_of_points_is_drawn(tmp_path: Path, num_points: int) -> None:
    path = tmp_path / "embedding.png"
    plot_embedding(np.ones((num_points, 2)), np.zeros(num_points, int), ("one",), path, "t")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_no_points_say_so(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "embedding.svg"
    for points in (np.zeros((0, 2)), np.full((1, 2), np.inf)):
        plot_embedding(points, [0] * len(points), (), path, "t")
        assert "No points to show" in texts(path)


def test_points_of_other_shapes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"points must be \[n, 2\], not \[5, 3\]"):
        plot_embedding(np.zeros((5, 3)), [0] * 5, (), tmp_path / "a.png", "t")
    with pytest.raises(ValueError, match=r"labels must be \[5\], one per point, not \[4\]"):
        plot_embedding(np.zeros((5, 2)), [0] * 4, (), tmp_path / "a.png", "t")


@given(st.lists(st.tuples(st.floats(0, 0.5), st.floats(0, 0.5)), min_size=1, max_size=6))
def test_names_at_one_place_are_moved_apart(centres: list[tuple[float, float]]) -> None:
    places = spread(["name"] * len(centres), np.array(centres), 8.5)
    for one, other in combinations(places, 2):
        assert abs(one[0] - other[0]) > 0.3 or abs(one[1] - other[1]) > 0.12
