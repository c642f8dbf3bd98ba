"""Colours changed as Pillow changes them, up to its rounding to bytes."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageEnhance, ImageFilter, ImageOps
from torch import Tensor

from labwright.datasets.augmentation import colour


def by_pillow(photos: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    pictures = [Image.fromarray(photo.permute(1, 2, 0).numpy()) for photo in photos]
    return torch.stack([torch.from_numpy(np.array(change(each))).permute(2, 0, 1) for each in pictures])


def agree(changed: Tensor, expected: Tensor, levels: float = 1.0) -> None:
    """Whether no pixel differs by more than so many of 255 levels."""
    assert float((changed * 255 - expected).abs().max()) <= levels + 1e-3


def factors(photos: Tensor, value: float) -> Tensor:
    return torch.full((len(photos),), value)


@pytest.mark.parametrize("factor", [0.0, 0.5, 1.0, 1.6])
@pytest.mark.parametrize(
    ("adjust", "enhance"),
    [
        (colour.adjust_brightness, ImageEnhance.Brightness),
        (colour.adjust_contrast, ImageEnhance.Contrast),
        (colour.adjust_saturation, ImageEnhance.Color),
        (colour.adjust_sharpness, ImageEnhance.Sharpness),
    ],
    ids=["brightness", "contrast", "saturation", "sharpness"],
)
def test_adjusted_by_a_factor(photos: Tensor, adjust: Callable[..., Tensor], enhance: Any, factor: float) -> None:
    expected = by_pillow(photos, lambda picture: enhance(picture).enhance(factor))
    agree(adjust(photos / 255, factors(photos, factor)), expected, 2.0)


def test_each_image_has_a_factor_of_its_own(photos: Tensor) -> None:
    images, each = photos / 255, torch.linspace(0, 2, len(photos))
    together = colour.adjust_contrast(images, each)
    alone = [colour.adjust_contrast(images[[n]], each[[n]]) for n in range(len(photos))]
    assert together.equal(torch.cat(alone)) and together[20].ne(images[20]).any()


def test_grey_levels_cut_inverted_and_spread(photos: Tensor) -> None:
    images = photos / 255
    agree(colour.solarize(images, 128 / 255), by_pillow(photos, lambda each: ImageOps.solarize(each, 128)))
    agree(colour.autocontrast(images), by_pillow(photos, ImageOps.autocontrast), 2.0)
    agree(colour.equalize(images), by_pillow(photos, ImageOps.equalize), 0.0)
    for bits in (1, 4, 7):
        agree(colour.posterize(images, bits), by_pillow(photos, lambda each, bits=bits: ImageOps.posterize(each, bits)))


def test_equalized_images_of_one_or_two_levels_stay_what_they_are() -> None:
    images = torch.full((1, 1, 20, 20), 0.2)
    assert torch.allclose(colour.equalize(images), images, atol=1e-5)
    assert torch.equal(colour.autocontrast(images), images)


def test_hue_goes_round_the_wheel(photos: Tensor) -> None:
    images = photos / 255
    assert torch.allclose(colour.adjust_hue(images, factors(photos, 0.0)), images, atol=1e-5)
    third = colour.adjust_hue(images, factors(photos, 1 / 3))
    assert torch.allclose(third, images.roll(1, 1), atol=1e-5, rtol=0)
    there = colour.adjust_hue(images, factors(photos, 0.3))
    assert torch.allclose(colour.adjust_hue(there, factors(photos, -0.3)), images, atol=1e-5, rtol=0)


def test_what_has_no_colour_keeps_none(photos: Tensor) -> None:
    grey = colour.grayscale(photos / 255)
    assert colour.adjust_hue(grey, factors(photos, 0.4)) is grey
    assert colour.adjust_saturation(grey, factors(photos, 0.4)) is grey
    assert colour.grayscale(grey) is grey


def test_blurred_by_a_width_of_its_own(photos: Tensor) -> None:
    images = photos / 255
    blurred = colour.gaussian_blur(images, factors(photos, 2.0), radius=6)
    expected = by_pillow(photos, lambda each: each.filter(ImageFilter.GaussianBlur(2.0)))
    inner = (..., slice(7, -7), slice(7, -7))  # Pillow repeats the pixels at the edge, and approximates by boxes
    agree(blurred[inner], expected[inner], 4.0)
    barely = colour.gaussian_blur(images, factors(photos, 0.1), radius=6)
    assert torch.allclose(barely, images, atol=1e-5)
    assert torch.allclose(blurred.mean(), images.mean(), atol=0.02, rtol=0)


@pytest.mark.parametrize("shape", [(1, 1), (2, 5), (3, 3)])
def test_tiny_images_are_no_trouble(shape: tuple[int, int]) -> None:
    images, each = torch.rand(4, 3, *shape), torch.linspace(0.5, 1.5, 4)
    for changed in (
        *(getattr(colour, f"adjust_{name}")(images, each) for name in ("contrast", "sharpness", "hue")),
        colour.equalize(images),
        colour.autocontrast(images),
        colour.gaussian_blur(images, each, radius=6),
    ):
        assert changed.shape == images.shape and changed.isfinite().all()
