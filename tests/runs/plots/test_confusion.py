from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labwright.runs.plots import plot_confusion

Texts = Callable[[Path], list[str]]


def test_counts_names_and_accuracy_per_class_are_written(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "confusion.svg"
    plot_confusion(np.array([[90, 10], [25, 75]]), ("healthy", "ill"), path, "clinic · test")
    shown = texts(path)
    assert {"clinic · test", "90", "10", "25", "75", "90.0%", "75.0%"} <= set(shown)
    assert "200 samples · accuracy 82.50%" in shown
    assert shown.count("healthy") == shown.count("ill") == 2


def test_class_without_samples_has_no_accuracy(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "confusion.svg"
    plot_confusion(np.array([[4, 0], [0, 0]]), (), path, "t")
    assert "-" in texts(path)
    plot_confusion(np.zeros((3, 3), int), (), path, "t")
    assert "0 samples · accuracy 0.00%" in texts(path)


@pytest.mark.parametrize(("num_classes", "has_counts"), [(20, True), (21, False), (100, False)])
def test_counts_are_written_only_where_they_can_be_read(
    tmp_path: Path, texts: Texts, num_classes: int, has_counts: bool
) -> None:
    path = tmp_path / "confusion.svg"
    plot_confusion(np.eye(num_classes, dtype=int) * 777, (), path, "t")
    shown = texts(path)
    assert ("777" in shown) is has_counts
    assert shown.count("7") == 2


def test_more_classes_than_fit_are_named_in_steps(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "confusion.svg"
    plot_confusion(np.eye(250, dtype=int), (), path, "t")
    shown = texts(path)
    assert shown.count("3") == shown.count("249") == 2
    assert "4" not in shown


def test_large_counts_are_shortened(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "confusion.svg"
    plot_confusion(np.array([[1_250_000, 250_000], [99_999, 5]]), (), path, "t")
    assert {"1.2M", "250k", "99999", "5"} <= set(texts(path))
