"""Images moved: each sample by draws of its own, and its mask along with it."""

import pytest
import torch
from torch import Tensor

from labwright.datasets import Draws, random_crop, random_erase, random_flip, random_resized_crop
from labwright.datasets.augmentation.geometry import affine, crop_boxes


def test_about_half_of_the_images_are_mirrored(digits: Tensor, draws: Draws) -> None:
    for vertical, dimension in ((False, -1), (True, -2)):
        flipped = random_flip(digits, draws, vertical=vertical)
        is_same, is_mirrored = ((flipped == one).flatten(1).all(1) for one in (digits, digits.flip(dimension)))
        assert (is_same | is_mirrored).all()
        assert 16 < int(is_mirrored.sum()) < 48


def test_crops_move_each_image_by_a_shift_of_its_own_with_zeros_behind(digits: Tensor, draws: Draws) -> None:
    cropped = random_crop(digits, 2, draws)
    padded = torch.nn.functional.pad(digits, (2, 2, 2, 2))
    shifts: set[tuple[int, int]] = set()
    for before, after in zip(padded, cropped, strict=True):
        fitting = [(y, x) for y in range(5) for x in range(5) if after.equal(before[:, y : y + 8, x : x + 8])]
        assert fitting
        shifts.add(fitting[0])
    assert len(shifts) > 15


def test_what_comes_in_may_be_another_colour_in_each_channel(digits: Tensor, draws: Draws) -> None:
    colour = torch.tensor([1.0, 2.0, 3.0]).view(1, 3, 1, 1)
    assert (random_crop(digits, 20, draws, fill=colour).flatten(2).mode(2).values == colour.view(1, 3)).any(0).all()


def test_a_square_is_erased_in_every_channel_and_may_reach_over_the_edge(digits: Tensor, draws: Draws) -> None:
    erased = random_erase(digits, 3, draws)
    is_gone = erased == 0
    assert torch.where(is_gone, digits, erased).equal(digits)
    sizes = is_gone[:, 0].flatten(1).sum(1)
    assert is_gone.all(1).equal(is_gone.any(1)), "all channels alike"
    assert sizes.max() == 9 and 4 <= sizes.min() < 9


def test_parts_cut_out_have_the_area_and_the_shape_that_are_asked_for() -> None:
    draws = Draws(0, torch.arange(3000))
    top, left, height, width = crop_boxes(draws, 60, 80, (0.2, 0.5), (3 / 4, 4 / 3)).unbind(1)
    assert (top >= 0).all() and (top + height <= 60).all() and (left >= 0).all() and (left + width <= 80).all()
    area = height * width / 4800
    assert 0.19 < area.min() < 0.21 and 0.49 < area.max() < 0.51
    aspect = width / height
    assert 0.73 < aspect.min() < 0.77 and 1.3 < aspect.max() < 1.38
    assert left.unique().numel() > 30 and top.unique().numel() > 20


def test_where_no_part_fits_it_is_the_largest_in_the_middle() -> None:
    boxes = crop_boxes(Draws(0, torch.arange(5)), 10, 100, (0.9, 1.0), (3 / 4, 4 / 3))
    assert boxes.tolist() == [[0, 43, 10, 13]] * 5
    assert crop_boxes(Draws(0, torch.arange(1)), 100, 9, (0.9, 1.0), (3 / 4, 4 / 3)).tolist() == [[44, 0, 12, 9]]


def test_the_whole_area_cut_out_is_the_image(digits: Tensor, draws: Draws) -> None:
    boxes = crop_boxes(draws, 8, 8, (1.0, 1.0), (1.0, 1.0))
    assert boxes.tolist() == [[0, 0, 8, 8]] * 64
    same = random_resized_crop(digits, draws, (1.0, 1.0), (1.0, 1.0))
    assert torch.allclose(same, digits, atol=1e-5)


def test_a_part_is_enlarged_from_its_own_pixels_alone(draws: Draws) -> None:
    """The left half black, the right half white: a part within one half has nothing of the other."""
    halves = torch.zeros(64, 1, 16, 16)
    halves[..., 8:] = 1
    enlarged = random_resized_crop(halves, draws, (0.05, 0.1))
    _, left, _, width = crop_boxes(draws, 16, 16, (0.05, 0.1), (3 / 4, 4 / 3)).unbind(1)
    is_left, is_right = left + width <= 8, left >= 8
    assert is_left.sum() > 5 and is_right.sum() > 5
    assert (enlarged[is_left] == 0).all() and (enlarged[is_right] == 1).all()


def test_masks_stay_on_their_images_and_keep_their_classes(draws: Draws) -> None:
    """An image that is its own mask: wherever the two are moved, they agree but for the mixed pixels at edges."""
    masks = torch.zeros(64, 1, 32, 32, dtype=torch.int64)
    masks[:, :, 8:20, 12:26] = 1000
    images = masks.float()
    turn = torch.tensor([[0.8, -0.6, 1.0], [0.6, 0.8, -2.0]]).expand(64, 2, 3)
    for moved, mask in (
        (random_flip(images, draws), random_flip(masks, draws)),
        (random_crop(images, 5, draws), random_crop(masks, 5, draws)),
        (random_resized_crop(images, draws), random_resized_crop(masks, draws, nearest=True)),
        (affine(images, turn), affine(masks, turn, nearest=True)),
    ):
        assert mask.dtype == torch.int64 and set(mask.unique().tolist()) == {0, 1000}
        disagree = (moved - mask).abs() > 500
        assert float(disagree.float().mean()) < 0.01


def test_a_turn_by_a_right_angle_is_exact(digits: Tensor) -> None:
    quarter = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]).expand(64, 2, 3)
    assert torch.allclose(affine(digits, quarter), digits.rot90(1, (2, 3)), atol=1e-5)
    masks = torch.randint(2**40, (64, 1, 8, 8))
    assert affine(masks, quarter, nearest=True).equal(masks.rot90(1, (2, 3)))


def test_outside_is_the_fill_alone(digits: Tensor) -> None:
    far = torch.tensor([[1.0, 0.0, 100.0], [0.0, 1.0, 0.0]]).expand(64, 2, 3)
    assert torch.allclose(affine(digits, far, 3.0), torch.full_like(digits, 3.0), atol=1e-5)
    assert (affine(digits.long(), far, 255, nearest=True) == 255).all()


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (5, 1), (2, 3)])
def test_tiny_images_are_no_trouble(shape: tuple[int, int], draws: Draws) -> None:
    images = torch.rand(64, 1, *shape)
    for changed in (
        random_flip(images, draws),
        random_crop(images, 2, draws),
        random_erase(images, 9, draws),
        random_resized_crop(images, draws),
    ):
        assert changed.shape == images.shape and changed.isfinite().all()


def test_the_images_given_stay_as_they_are(digits: Tensor, draws: Draws) -> None:
    before = digits.clone()
    for _ in (random_flip(digits, draws), random_crop(digits, 2, draws), random_erase(digits, 3, draws)):
        assert digits.equal(before)
