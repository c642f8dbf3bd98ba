from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright.runs.plots import plot_overlay

Texts = Callable[[Path], list[str]]
CLASSES = ("background", "stroke", "$quare")


def masks_of(images: Any) -> Any:
    masks = (images > 0.5).astype(np.int64)
    masks[:, :2, :2] = 2
    return masks


def test_classes_are_in_the_legend_and_wrong_pixels_are_counted(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "overlay.svg"
    images, true = digits.images[:4], masks_of(digits.images[:4])
    predicted = true.copy()
    predicted[0, 0, :] = 1 - (true[0, 0, :] == 1)  # 8 of 64 pixels of the first image
    plot_overlay(images, true, predicted, CLASSES, path, "segmentation", subtitle="Dice 0.9")
    shown = texts(path)
    assert {"Image", "True", "Predicted", "Wrong", "stroke", "$quare", "wrong"} <= set(shown)
    assert "background" not in shown
    assert "Dice 0.9 · 3.12% of the pixels are wrong" in shown
    assert [text for text in shown if text.endswith("%")] == ["12.5%", "0.0%", "0.0%", "0.0%"]


def test_background_is_painted_and_named_where_there_is_none(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "overlay.svg"
    true = masks_of(digits.images[:1])
    plot_overlay(digits.images[:1], true, true, CLASSES, path, "t", background=None)
    assert "background" in texts(path)


def test_ignored_pixels_are_never_wrong(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "overlay.svg"
    true = masks_of(digits.images[:2])
    predicted = true.copy()
    true[:, :, 6:] = 255
    plot_overlay(digits.images[:2], true, predicted, CLASSES, path, "t", ignored=255)
    shown = texts(path)
    assert "0.00% of the pixels are wrong" in shown
    assert "no label" in shown


def test_true_or_false_masks_of_colour_images_need_no_class_names(tmp_path: Path, digits: Any, texts: Texts) -> None:
    path = tmp_path / "overlay.svg"
    images = np.stack([digits.images[:12]] * 3, axis=1)
    plot_overlay(images, images[:, 0] > 0.5, images[:, 0] > 0.4, (), path, "t")
    shown = texts(path)
    assert "class 1" in shown and "class 0" not in shown
    assert any("the first 8 of 12 samples" in text for text in shown)


def test_no_samples_say_so(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "overlay.svg"
    plot_overlay(np.zeros((0, 8, 8)), np.zeros((0, 8, 8)), np.zeros((0, 8, 8)), CLASSES, path, "t")
    assert texts(path) == ["t", "No images to show"]


def test_masks_that_do_not_belong_to_the_images_are_refused(tmp_path: Path, digits: Any) -> None:
    images, masks, path = digits.images[:2], masks_of(digits.images[:2]), tmp_path / "a.png"
    with pytest.raises(ValueError, match=r"targets must be \[2, 8, 8\] like the images, not \[1, 8, 8\]"):
        plot_overlay(images, masks[:1], masks, CLASSES, path, "t")
    with pytest.raises(ValueError, match="predictions must be class numbers, not float64"):
        plot_overlay(images, masks, masks / 2, CLASSES, path, "t")
    with pytest.raises(ValueError, match="targets have the class 255, but there are 3 classes, from 0"):
        plot_overlay(images, np.where(masks == 2, 255, masks), masks, CLASSES, path, "t")
    with pytest.raises(ValueError, match="predictions have the class -2, but there are 1 classes"):
        plot_overlay(images, masks, -masks, (), path, "t")
