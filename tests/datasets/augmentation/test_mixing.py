"""Mixup and cutmix: what becomes of images and targets, and who is whose partner."""

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from labwright.datasets import Draws, Mixing, cutmix, mixup
from labwright.datasets.augmentation.mixing import beta


@pytest.fixture
def targets() -> Tensor:
    return torch.arange(64) % 10


@pytest.mark.parametrize("alpha", [0.1, 0.2, 0.5, 0.8, 1.0, 2.0, 8.0])
def test_shares_are_distributed_as_beta(alpha: float) -> None:
    uniform = torch.arange(2**14) / 2**14
    shares = beta(uniform, alpha)
    assert (shares.diff() >= 0).all() and shares.min() >= 0 and shares.max() <= 1
    distribution = stats.beta(alpha, alpha)
    away = np.abs(shares.numpy() - distribution.ppf(uniform.double().numpy()))
    too_often = np.abs(distribution.cdf(shares.double().numpy()) - uniform.numpy())
    assert np.minimum(away, too_often).max() < 1e-3


def test_blended_images_have_the_shares_that_their_targets_say(digits: Tensor, targets: Tensor, draws: Draws) -> None:
    mixed, soft = Mixing(mixup_alpha=0.8)(digits, targets, 10, draws)
    partners = torch.arange(64) ^ 1
    shares = soft[torch.arange(64), targets]
    expected = shares.view(-1, 1, 1, 1) * digits + (1 - shares.view(-1, 1, 1, 1)) * digits[partners]
    assert torch.allclose(mixed, expected, atol=1e-5)
    assert torch.allclose(soft.sum(1), torch.ones(64), atol=1e-5)
    assert torch.allclose(soft[torch.arange(64), targets[partners]], 1 - shares, atol=1e-5)


def test_a_box_of_the_partner_takes_the_share_that_the_targets_say(targets: Tensor, draws: Draws) -> None:
    numbered = torch.arange(64.0).view(64, 1, 1, 1).expand(64, 3, 20, 30).clone()
    mixed, soft = Mixing(cutmix_alpha=1.0)(numbered, targets, 10, draws)
    is_own = mixed == numbered
    is_partners = mixed == numbered[torch.arange(64) ^ 1]
    assert (is_own ^ is_partners).all() and is_own.all(1).equal(is_own.any(1)), "all channels alike"
    shares = is_own[:, 0].float().mean((1, 2))
    assert torch.allclose(soft[torch.arange(64), targets], shares, atol=1e-5)
    assert shares.min() < 0.3 and shares.max() > 0.9
    for box in is_partners[:, 0]:
        rows, columns = box.any(1).nonzero(), box.any(0).nonzero()
        assert box.sum() == len(rows) * len(columns)


def test_with_both_each_sample_gets_one_of_them(digits: Tensor, targets: Tensor, draws: Draws) -> None:
    mixed, soft = Mixing(0.8, 1.0)(digits, targets, 10, draws)
    kinds = [Mixing(mixup_alpha=0.8)(digits, targets, 10, draws), Mixing(cutmix_alpha=1.0)(digits, targets, 10, draws)]
    is_kind = [(mixed == images).flatten(1).all(1) & (soft == shares).all(1) for images, shares in kinds]
    assert (is_kind[0] | is_kind[1]).all() and all(15 < kind.sum() < 49 for kind in is_kind)


@pytest.mark.parametrize("size", [2, 4, 16, 32])
def test_batches_cut_in_even_parts_are_mixed_alike(digits: Tensor, targets: Tensor, draws: Draws, size: int) -> None:
    whole = Mixing(0.4, 1.0)(digits, targets, 10, draws)
    parts = [Mixing(0.4, 1.0)(digits[some], targets[some], 10, Draws(7, some)) for some in torch.arange(64).split(size)]
    for together, cut in zip(whole, zip(*parts, strict=True), strict=True):
        assert together.equal(torch.cat(cut))


def test_the_last_of_an_odd_number_stays_as_it_is(digits: Tensor, targets: Tensor) -> None:
    for mixing in (Mixing(mixup_alpha=0.4), Mixing(cutmix_alpha=1.0)):
        mixed, soft = mixing(digits[:5], targets[:5], 10, Draws(7, torch.arange(5)))
        assert mixed[4].equal(digits[4]) and soft[4].tolist() == [0, 0, 0, 0, 1, 0, 0, 0, 0, 0]
        alone, _ = mixing(digits[:1], targets[:1], 10, Draws(7, torch.arange(1)))
        assert alone.equal(digits[:1])


def test_bytes_stay_bytes_and_the_images_given_as_they_are(photos: Tensor) -> None:
    before, draws = photos.clone(), Draws(7, torch.arange(len(photos)))
    for mix in (mixup, cutmix):
        mixed, shares = mix(photos, photos.flip(0), 1.0, draws)
        assert mixed.dtype == torch.uint8 and shares.shape == (len(photos),) and photos.equal(before)
    blended, shares = mixup(photos, photos.flip(0), 1.0, draws)
    weights = shares.view(-1, 1, 1, 1)
    exact = weights * photos + (1 - weights) * photos.flip(0)
    assert float((blended - exact).abs().max()) <= 0.5 + 1e-3
