"""Policies: which changes come, how often, and that a sample's are its own."""

import random

import numpy as np
import pytest
import torch
from torch import Tensor

from labwright.datasets import ColourJitter, Draws, PerSample, RandAugment, three_augment
from labwright.datasets.augmentation import colour
from labwright.datasets.augmentation.policies import _KINDS, RAND_AUGMENT, change_where


@pytest.fixture
def images(photos: Tensor) -> Tensor:
    return photos / 255


@pytest.fixture
def draws(photos: Tensor) -> Draws:
    return Draws(11, torch.arange(len(photos)))


def test_each_image_is_grey_or_solarized_or_blurred(images: Tensor, draws: Draws) -> None:
    changed = three_augment(images.clone(), draws)
    sigmas = draws.between("blur", 0.1, 2.0)
    candidates = [
        colour.grayscale(images).expand_as(images),
        colour.solarize(images),
        colour.gaussian_blur(images, sigmas, radius=6),
    ]
    kinds = torch.stack([(changed == each).flatten(1).all(1) for each in candidates])
    assert kinds.any(0).all() and kinds.sum(1).min() > 6


def test_jitter_stays_within_what_is_allowed(images: Tensor, draws: Draws) -> None:
    darker = ColourJitter(brightness=0.4)(images, draws)
    is_unclipped = darker < 1
    ratios = torch.where(is_unclipped & (images > 0.1), darker / images, 1.0)
    assert 0.6 - 1e-5 <= ratios.min() < 0.7 and 1.3 < ratios.max() <= 1.4 + 1e-5
    assert ColourJitter()(images, draws) is images
    each = ColourJitter(0.3, 0.3, 0.3, 0.1)(images, draws)
    expected = ColourJitter(hue=0.1)(ColourJitter(0.3, 0.3, 0.3)(images, draws), draws)
    assert each.equal(expected)


def test_all_changes_of_rand_augment_come_equally_often() -> None:
    chosen, signs = RandAugment()._drawn(Draws(0, torch.arange(14_000)), 0)
    counts = torch.bincount(chosen, minlength=len(_KINDS))
    assert len(counts) == 14 and 850 < counts.min() and counts.max() < 1150
    assert set(signs.tolist()) == {-1.0, 1.0}


@pytest.mark.parametrize("level", RAND_AUGMENT)
def test_higher_levels_change_more(images: Tensor, draws: Draws, level: str) -> None:
    extents = {
        name: float((policy(images.clone(), draws) - images).abs().mean()) for name, policy in RAND_AUGMENT.items()
    }
    assert list(extents) == ["light", "medium", "strong"]
    assert 0 < extents["light"] < extents["medium"] < extents["strong"] < 0.5
    changed = RAND_AUGMENT[level](images.clone(), draws)  # pyright: ignore[reportArgumentType]
    assert changed.min() >= 0 and changed.max() <= 1


def test_of_no_magnitude_only_the_levels_change(images: Tensor, draws: Draws) -> None:
    changed = RandAugment(1, 0)(images.clone(), draws)
    kinds, _ = RandAugment()._drawn(draws, 0)
    is_spread = (kinds == _KINDS.index("autocontrast")) | (kinds == _KINDS.index("equalize"))
    is_spread |= kinds == _KINDS.index("posterize")  # floats have more than the 256 levels of 8 bits
    assert torch.allclose(changed[~is_spread], images[~is_spread], atol=1e-5)


def test_masks_are_moved_as_their_images_are() -> None:
    """Pictures whose dark half is class 1: what is moved keeps the border between the two where its mask has it."""
    draws = Draws(2, torch.arange(60))
    images, masks = torch.full((60, 1, 24, 24), 0.8), torch.zeros(60, 1, 24, 24, dtype=torch.int64)
    images[:, :, 10:], masks[:, :, 10:] = 0.2, 1
    changed, moved = RandAugment(1, 15)(images.clone(), draws, fill=0.8), RandAugment(1, 15).moved(masks, draws, 0)
    is_moved = RandAugment()._drawn(draws, 0)[0] < 5
    found = (changed < 0.5).long()
    assert ((found != moved)[is_moved].float().mean()) < 0.02
    assert moved[~is_moved].equal(masks[~is_moved]) and not moved[is_moved].equal(masks[is_moved])
    assert masks[:, :, 10:].eq(1).all() and masks[:, :, :10].eq(0).all(), "those given stay as they are"


def test_those_not_chosen_are_left_alone(images: Tensor) -> None:
    before = images.clone()
    is_chosen = torch.arange(len(images)) % 3 == 0
    changed = change_where(
        images, is_chosen, lambda some, factors: some * factors[:, None, None, None], is_chosen * 0.5
    )
    assert changed[is_chosen].equal(before[is_chosen] * 0.5) and changed[~is_chosen].equal(before[~is_chosen])
    assert change_where(images, is_chosen & False, colour.equalize) is images


class Elsewhere(Tensor):
    """On the CPU, but it says that it is not."""

    is_cpu = False  # pyright: ignore[reportAssignmentType, reportIncompatibleMethodOverride]


def test_an_accelerator_changes_all_and_keeps_what_was_chosen(images: Tensor, draws: Draws) -> None:
    """It never asks which those are, since that would mean to wait; what comes of it is the same to the bit."""
    here = three_augment(RandAugment()(images.clone(), draws), draws)
    there = images.clone().as_subclass(Elsewhere)
    assert three_augment(RandAugment()(there, draws), draws).as_subclass(Tensor).equal(here)


def test_a_transform_of_ones_own_finds_generators_seeded_by_the_sample(images: Tensor, draws: Draws) -> None:
    def noisy(image: Tensor) -> Tensor:
        assert image.dtype == torch.uint8
        return image // 2 + torch.randint(60, (1,)) + random.randrange(30) + np.random.randint(30)

    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].copy()  # pyright: ignore
    changed = PerSample(noisy)(images, draws)
    alone = PerSample(noisy)(images[[7]], Draws(11, torch.tensor([7])))
    assert changed[[7]].equal(alone) and not changed[8].equal(changed[7])
    assert random.getstate() == states[0] and torch.get_rng_state().equal(states[1])
    assert (np.random.get_state()[1] == states[2]).all()  # pyright: ignore
