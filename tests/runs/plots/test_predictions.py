from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from labwright.runs.plots import plot_mistakes

Texts = Callable[[Path], list[str]]
DIGITS = tuple("0123456789")


def sheet(
    path: Path,
    targets: list[int],
    predictions: list[int],
    confidences: list[float],
    num_total: int = 100,
    num_wrong: int = 0,
    images: NDArray[Any] | None = None,
    class_names: tuple[str, ...] = DIGITS,
) -> None:
    if images is None:
        images = np.linspace(0, 1, len(targets) * 64).reshape(-1, 8, 8)
    numbers = np.array(targets, int), np.array(predictions, int), np.array(confidences)
    plot_mistakes(images, *numbers, class_names, path, "digits · test", num_total, num_wrong)


def test_most_confident_mistake_comes_first_and_correct_ones_are_left_out(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "predictions.svg"
    sheet(path, [1, 2, 3, 4], [7, 2, 8, 9], [0.5, 0.99, 0.9, float("nan")], num_wrong=3)
    shown = texts(path)
    assert "3 of 100 wrong (3.00%); all shown." in " ".join(shown)
    assert [text for text in shown if text.endswith("%")] == ["90.0%", "50.0%", "0.0%"]
    assert [text for text in shown if text in DIGITS] == ["8", "3", "7", "1", "9", "4"]  # predicted, true


def test_selection_of_many_mistakes_says_how_many_there_are(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "predictions.svg"
    sheet(path, [0] * 50, [1] * 50, [0.5] * 50, num_total=2000, num_wrong=300)
    shown = texts(path)
    assert "300 of 2,000 wrong (15.00%); the 32 most confident shown." in " ".join(shown)
    assert shown.count("50.0%") == 32


def test_without_mistakes_the_least_confident_correct_ones_are_shown(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "predictions.svg"
    sheet(path, [1, 2], [1, 2], [0.9, 0.6])
    shown = texts(path)
    assert "No mistakes in 100." in " ".join(shown)
    assert [text for text in shown if text.endswith("%")] == ["60.0%", "90.0%"]


def test_no_predictions_at_all_say_so(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "predictions.svg"
    sheet(path, [], [], [], num_total=0)
    assert "No predictions to show" in texts(path)


@pytest.mark.parametrize(
    "images",
    [
        np.full((2, 1, 4, 4), 200, np.uint8),
        np.zeros((2, 3, 4, 4), np.uint8),
        np.random.default_rng(0).normal(size=(2, 3, 4, 4)),
        np.random.default_rng(0).normal(size=(2, 2, 4, 4)).astype(np.float32),
        np.full((2, 4, 4), 16.0),
        np.full((2, 4, 4), np.nan),
        np.array([[[np.inf, -np.inf], [0.0, 1.0]]] * 2),
    ],
)
def test_every_kind_of_image_is_drawn(tmp_path: Path, images: NDArray[Any]) -> None:
    path = tmp_path / "predictions.png"
    sheet(path, [1, 2], [2, 1], [0.5, 0.5], num_wrong=2, images=images)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_label_without_a_name_is_shown_as_its_number(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "predictions.svg"
    sheet(path, [0], [12], [0.5], num_wrong=1, class_names=("a very long class name",))
    shown = texts(path)
    assert "a very long c…" in shown
    assert any(text.startswith("12") for text in shown)


def test_images_of_another_shape_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"images must be \[n, H, W\] or \[n, C, H, W\], not \[1, 64\]"):
        sheet(tmp_path / "a.png", [0], [1], [0.5], images=np.zeros((1, 64)))
