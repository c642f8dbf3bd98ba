"""Random changes of images: each sample has draws of its own, and the generator decides all of them."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from labwright.datasets.digits import build_digits
from labwright.train import AugmentArgs, random_crop, random_erase, random_flip


@pytest.fixture
def images() -> Tensor:
    dataset: Any = build_digits(0.1, 0.2, 0).train["train"]
    pictures: Tensor = dataset.__getitems__(list(range(64)))["input"]
    return (pictures + 10).expand(-1, 3, -1, -1).clone()  # so that no pixel is 0


def test_about_half_of_the_images_are_mirrored(images: Tensor) -> None:
    flipped = random_flip(images)
    is_same, is_mirrored = ((flipped == one).flatten(1).all(1) for one in (images, images.flip(-1)))
    assert (is_same | is_mirrored).all()
    assert 16 < int(is_mirrored.sum()) < 48


def test_crops_move_each_image_by_a_shift_of_its_own_with_zeros_behind(images: Tensor) -> None:
    cropped = random_crop(images, 2)
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))
    shifts: set[tuple[int, int]] = set()
    for before, after in zip(padded, cropped, strict=True):
        fitting = [(y, x) for y in range(5) for x in range(5) if after.equal(before[:, y : y + 8, x : x + 8])]
        assert fitting
        shifts.add(fitting[0])
    assert len(shifts) > 15


def test_a_square_is_erased_in_every_channel_and_may_reach_over_the_edge(images: Tensor) -> None:
    erased = random_erase(images, 3)
    is_gone = erased == 0
    assert torch.where(is_gone, images, erased).equal(images)
    sizes = is_gone[:, 0].flatten(1).sum(1)
    assert is_gone.all(1).equal(is_gone.any(1)), "all channels alike"
    assert sizes.max() == 9 and 4 <= sizes.min() < 9


@pytest.mark.parametrize("change", [random_flip, lambda x, g: random_crop(x, 2, g), lambda x, g: random_erase(x, 3, g)])
def test_a_generator_decides_and_the_images_given_stay_as_they_are(
    images: Tensor, change: Callable[[Tensor, torch.Generator], Tensor]
) -> None:
    before = images.clone()
    first, second, other = (change(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert first.equal(second) and not first.equal(other)
    assert images.equal(before) and first.shape == images.shape


def test_args_build_what_they_name_and_nothing_by_default(images: Tensor) -> None:
    assert AugmentArgs().build() is None
    changes = AugmentArgs(crop_padding=2, horizontal_flip=True, erase_size=3).build()
    assert changes is not None
    torch.manual_seed(5)
    changed = changes(images)
    torch.manual_seed(5)
    assert changed.equal(random_erase(random_flip(random_crop(images, 2)), 3))
