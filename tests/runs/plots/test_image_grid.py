from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.image import imread

from labwright.runs.plots import plot_image_grid

Texts = Callable[[Path], list[str]]


def num_frames(path: Path) -> int:
    return path.read_text().count('<g id="patch_') - 1  # one is the page


@pytest.mark.parametrize("num_images", [1, 5, 7, 100])
def test_every_image_has_a_tile(tmp_path: Path, digits: Any, num_images: int) -> None:
    path = tmp_path / "samples.svg"
    plot_image_grid(digits.images[:num_images], path, "digits_gan")
    assert num_frames(path) == num_images


def test_labels_stand_under_the_tiles_and_dollars_are_no_formulas(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "samples.svg"
    labels = ["$5", "$6_{", "a label far too long for the tile that it stands under"]
    plot_image_grid(digits.images[:3], path, "$x_{$", subtitle="step 7", labels=labels)
    shown = texts(path)
    assert {"$x_{$", "step 7", "$5", "$6_{"} <= set(shown)
    assert any(text.startswith("a label far") and text.endswith("…") for text in shown)


def test_more_images_than_fit_are_counted(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "samples.svg"
    plot_image_grid(digits.images, path, "all")
    assert "the first 400 of 1,797" in texts(path)


def test_columns_can_be_chosen(tmp_path: Path, digits: Any) -> None:
    wide, tall = tmp_path / "wide.png", tmp_path / "tall.png"
    plot_image_grid(digits.images[:8], wide, "t", num_columns=8)
    plot_image_grid(digits.images[:8], tall, "t", num_columns=1)
    assert imread(wide).shape[1] > imread(wide).shape[0]
    assert imread(tall).shape[0] > imread(tall).shape[1]


def test_no_images_say_so_and_broken_ones_are_counted(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "samples.svg"
    plot_image_grid(digits.images[:0], path, "none", labels=[])
    assert "No images to show" in texts(path)
    plot_image_grid(np.full((2, 3, 4, 4), np.nan), path, "diverged")
    assert "2 of 2 with values that are not finite (purple)" in texts(path)


def test_wrong_number_of_labels_or_columns_is_refused(tmp_path: Path, digits: Any) -> None:
    with pytest.raises(ValueError, match="1 labels for 2 images"):
        plot_image_grid(digits.images[:2], tmp_path / "a.png", "t", labels=["one"])
    with pytest.raises(ValueError, match="num_columns must be at least 1, not 0"):
        plot_image_grid(digits.images[:2], tmp_path / "a.png", "t", num_columns=0)
    assert not list(tmp_path.iterdir())
