"""`Augmentation` as the args describe it: what it changes, and that a sample is changed alike wherever it turns up."""

import runpy
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from pydantic import ValidationError
from torch import Tensor

from labwright.args import UserError
from labwright.datasets import (
    AugmentArgs,
    Augmentation,
    Draws,
    Levels,
    normalize,
    random_crop,
    random_erase,
    random_flip,
    random_resized_crop,
)

EVERYTHING: dict[str, Any] = {
    "resized_crop": (0.3, 1.0),
    "crop_padding": 3,
    "horizontal_flip": True,
    "vertical_flip": True,
    "rand_augment": "strong",
    "three_augment": True,
    "brightness": 0.3,
    "contrast": 0.3,
    "saturation": 0.3,
    "hue": 0.1,
    "erase_size": 5,
}
EACH: list[dict[str, Any]] = [{name: value} for name, value in EVERYTHING.items()]


def built(**args: Any) -> Augmentation:
    augmentation = AugmentArgs(**args).build()
    assert augmentation is not None
    return augmentation


def test_by_default_nothing_is_built() -> None:
    assert AugmentArgs().build() is None
    assert AugmentArgs(value_range=(0, 1), mask_fill=3).build() is None


def test_changes_come_in_order(digits: Tensor, draws: Draws) -> None:
    changed = built(crop_padding=2, horizontal_flip=True, erase_size=3, resized_crop=(0.5, 1.0))(digits, draws)
    cut = random_crop(random_resized_crop(digits, draws, (0.5, 1.0)), 2, draws)
    assert changed.equal(random_erase(random_flip(cut, draws), 3, draws))


@pytest.mark.parametrize("args", [*EACH, EVERYTHING], ids=lambda args: "+".join(args) if len(args) == 1 else "all")
@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8], ids=["float", "bytes"])
def test_a_sample_is_changed_alike_in_any_batch(photos: Tensor, args: dict[str, Any], dtype: torch.dtype) -> None:
    images = photos if dtype == torch.uint8 else photos / 255
    before, augmentation, samples = images.clone(), built(**args), torch.arange(len(photos))
    together = augmentation(images, Draws(7, samples))
    assert images.equal(before) and not together.equal(images)
    assert together.dtype == dtype and together.shape == images.shape
    for some in (torch.tensor([5]), torch.tensor([30, 2, 9]), torch.arange(39, 20, -1)):
        assert augmentation(images[some], Draws(7, some)).equal(together[some])
    assert not augmentation(images, Draws(8, samples)).equal(together), "another epoch"


def test_other_whole_numbers_are_refused(draws: Draws) -> None:
    with pytest.raises(UserError, match=r"as floats or as bytes, not as torch.int16"):
        built(horizontal_flip=True)(torch.zeros(64, 3, 8, 8, dtype=torch.int16), draws)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=["rows", "channels last"])
def test_grey_images_in_any_layout(photos: Tensor, layout: torch.memory_format) -> None:
    """Grey images may lie in memory like coloured ones, and any batch of them like another."""
    for images in (photos[:, :1] / 255, photos / 255):
        images = images.contiguous(memory_format=layout)
        augmentation = built(**EVERYTHING)
        together = augmentation(images, Draws(7, torch.arange(len(images))))
        assert together.shape == images.shape and together.isfinite().all()
        alone = [augmentation(images[[n]], Draws(7, torch.tensor([n]))) for n in range(0, len(images), 9)]
        assert torch.allclose(torch.cat(alone), together[::9], atol=1e-6)


def test_colours_of_standardized_images_change_as_those_of_bytes_do(photos: Tensor) -> None:
    mean, std = torch.tensor([100.0, 120.0, 140.0]), torch.tensor([50.0, 60.0, 70.0])
    levels = Levels(*(tuple(((level - mean) / std).tolist()) for level in (0.0, 255.0)))
    draws = Draws(7, torch.arange(len(photos)))
    augmentation = built(**EVERYTHING | {"erase_size": 0, "crop_padding": 0, "rand_augment": "none"})
    of_bytes = augmentation(photos, draws)
    augmentation.levels = levels
    of_numbers = augmentation(normalize(photos, mean, std), draws)
    back = of_numbers * std.view(-1, 1, 1) + mean.view(-1, 1, 1)
    assert float((back - of_bytes).abs().max()) <= 0.5 + 1e-3


def test_what_comes_in_is_zero_in_the_numbers_of_the_images(photos: Tensor) -> None:
    images = normalize(photos, 128.0, 50.0)
    augmentation = built(crop_padding=18, brightness=1e-6)
    augmentation.levels = Levels(-128 / 50, 127 / 50)
    changed = augmentation(images, Draws(7, torch.arange(len(photos))))
    assert float((changed.abs() < 1e-4).float().mean()) > 0.3


def test_masks_go_with_their_images(draws: Draws) -> None:
    masks = torch.zeros(64, 32, 32, dtype=torch.int64)
    masks[:, 6:20, 10:28] = 3
    images = masks[:, None].float() / 3
    augmentation = built(resized_crop=(0.4, 1.0), horizontal_flip=True, vertical_flip=True, crop_padding=4)
    moved, changed = augmentation.masks(masks, draws), augmentation(images, draws)
    assert moved.dtype == torch.int64 and set(moved.unique().tolist()) == {0, 3} and not moved.equal(masks)
    assert float(((changed[:, 0] > 0.5) != (moved == 3)).float().mean()) < 0.01


def test_pixels_that_come_into_a_mask_have_the_class_that_is_asked_for(draws: Draws) -> None:
    masks = torch.ones(64, 16, 16, dtype=torch.uint8)
    moved = built(crop_padding=8, rand_augment="strong", mask_fill=255).masks(masks, draws)
    assert moved.dtype == torch.uint8 and set(moved.unique().tolist()) == {1, 255}


@pytest.mark.parametrize(
    "given",
    [
        {"hue": 0.6},
        {"brightness": -0.1},
        {"resized_crop": (0.0, 1.0)},
        {"resized_crop": (0.9, 0.3)},
        {"rand_augment": "brutal"},
        {"value_range": (1.0, 0.0)},
        {"crop_padding": -1},
        {"mixup_alpha": -0.2},
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        AugmentArgs(**given)


def test_without_torchvision_its_policies_name_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torchvision", "torchvision.transforms", "torchvision.transforms.v2"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UserError, match=r"--augment.torchvision=augmix needs torchvision.*labwright\[vision\]"):
        AugmentArgs(torchvision="augmix").build()


@pytest.mark.slow
def test_the_picture_of_the_docs_can_be_drawn(tmp_path: Path) -> None:
    script = Path(__file__).parents[3] / "docs" / "augment.py"
    runpy.run_path(str(script))["main"](tmp_path / "augment.png")
    with Image.open(tmp_path / "augment.png") as drawn, Image.open(script.parent / "images" / "augment.png") as shown:
        assert drawn.size == shown.size
