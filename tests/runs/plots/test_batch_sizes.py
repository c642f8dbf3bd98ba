from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.runs.plots import BatchPoint, plot_batch_sizes

Texts = Callable[[Path], list[str]]
POINTS = [
    BatchPoint(32, True, 1000.0, 3e8),
    BatchPoint(64, True, 1800.0, 4e8),
    BatchPoint(128, False, None, 6e8),
    BatchPoint(96, False),
]


def test_sizes_that_matter_are_named_and_so_is_the_memory_that_may_be_used(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "sizes.svg"
    plot_batch_sizes(POINTS, path, "a$b", limit=5e8, subtitle="4 sizes", marks={"largest": 64, "fastest": 32})
    shown = {*texts(path)}
    assert {"a$b", "4 sizes", "Samples per second", "Memory", "Batch size", "largest: 64", "fastest: 32"} <= shown
    assert {"500 MB may be used", "32", "64", "128"} <= shown


def test_limit_far_above_all_that_was_tried_is_not_drawn(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "sizes.svg"
    plot_batch_sizes(POINTS[:2], path, "t", limit=1e11)
    assert not [text for text in texts(path) if "may be used" in text]


@pytest.mark.parametrize(
    "points", [POINTS[:1], POINTS[2:], [BatchPoint(1, True, 5.0)]], ids=["one", "none fits", "bare"]
)
def test_few_points_are_drawn_without_a_warning(tmp_path: Path, points: list[BatchPoint]) -> None:
    path = tmp_path / "sizes.png"
    plot_batch_sizes(points, path, "t", limit=5e8)
    assert path.read_bytes().startswith(b"\x89PNG")
