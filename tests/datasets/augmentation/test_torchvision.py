"""What torchvision's v2 transforms make of the same images and the same parameters; skipped where it is missing."""

from importlib import import_module
from typing import Any

import pytest
import torch
from torch import Tensor

from labwright.datasets import AugmentArgs, Draws, RandAugment, normalize, random_resized_crop
from labwright.datasets.augmentation import colour as ours
from labwright.datasets.augmentation.geometry import crop_boxes
from labwright.datasets.augmentation.policies import _KINDS

try:
    v2: Any = import_module("torchvision.transforms.v2")
except (ImportError, RuntimeError) as error:  # one that was built for another torch stops at its own operators
    pytest.skip(f"torchvision cannot be imported: {error}", allow_module_level=True)

theirs: Any = v2.functional


@pytest.fixture(params=[1, 3], ids=["grey", "coloured"])
def images(request: pytest.FixtureRequest) -> Tensor:
    """Noise, smooth ramps, an image all alike, and some of all levels of a byte."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(2, request.param, 20, 24, generator=generator)
    ramp = torch.linspace(0.1, 0.7, 24).expand(1, request.param, 20, 24)
    levels = torch.randint(256, (3, request.param, 20, 24), generator=generator) / 255
    return torch.cat([noise, ramp, torch.full_like(ramp, 0.25), levels])


def same(one: Tensor, other: Tensor, tolerance: float = 2e-6) -> None:
    assert torch.allclose(one, other, rtol=0, atol=tolerance)


@pytest.mark.parametrize("factor", [0.0, 0.4, 1.0, 1.7])
@pytest.mark.parametrize("name", ["brightness", "contrast", "saturation", "sharpness"])
def test_adjusted(images: Tensor, name: str, factor: float) -> None:
    adjusted = getattr(ours, f"adjust_{name}")(images, torch.full((len(images),), factor))
    same(adjusted, getattr(theirs, f"adjust_{name}")(images, factor))


@pytest.mark.parametrize("shift", [-0.5, -0.2, 0.0, 0.37])
def test_hue_moved(images: Tensor, shift: float) -> None:
    same(ours.adjust_hue(images, torch.full((len(images),), shift)), theirs.adjust_hue(images, shift), 1e-5)


@pytest.mark.parametrize("name", ["autocontrast", "equalize"])
def test_levels_spread(images: Tensor, name: str) -> None:
    same(getattr(ours, name)(images), getattr(theirs, name)(images))


def test_posterized_and_solarized(images: Tensor) -> None:
    for bits in range(1, 9):
        same(ours.posterize(images, bits), theirs.posterize(images, bits))
    for threshold in (0.0, 0.3, 0.5, 1.0):
        same(ours.solarize(images, threshold), theirs.solarize(images, threshold))


def test_grey_and_blurred(images: Tensor) -> None:
    same(ours.grayscale(images), theirs.rgb_to_grayscale(images))
    for sigma in (0.1, 0.8, 2.0):
        blurred = ours.gaussian_blur(images, torch.full((len(images),), sigma), radius=6)
        same(blurred, theirs.gaussian_blur(images, [13, 13], [sigma, sigma]))


def test_part_cut_out_and_enlarged(images: Tensor) -> None:
    draws = Draws(3, torch.arange(len(images)))
    cut = random_resized_crop(images, draws, (0.1, 0.9))
    boxes = crop_boxes(draws, 20, 24, (0.1, 0.9), (3 / 4, 4 / 3)).tolist()
    expected = [theirs.resized_crop(each, *box, [20, 24]) for each, box in zip(images, boxes, strict=True)]
    same(cut, torch.stack(expected), 1e-5)


def test_bytes_made_normal() -> None:
    images = torch.randint(256, (4, 3, 6, 5), dtype=torch.uint8)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = theirs.normalize(theirs.to_dtype(images, torch.float32, scale=True), mean, std)
    same(normalize(images, torch.tensor(mean) * 255, torch.tensor(std) * 255), expected, 1e-5)


TRANSFORM_IDS = dict(
    zip(
        _KINDS,
        "ShearX ShearY TranslateX TranslateY Rotate Brightness Contrast Color Sharpness Posterize Solarize "
        "AutoContrast Equalize Identity".split(),
        strict=True,
    )
)


@pytest.mark.parametrize("kind", _KINDS)
def test_each_change_of_rand_augment(images: Tensor, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What comes in is black: any other fill torchvision weighs twice at the edge, where a pixel is partly outside."""
    policy = v2.RandAugment(interpolation=v2.InterpolationMode.BILINEAR)
    transform_id = TRANSFORM_IDS[kind]
    strengths, is_signed = policy._AUGMENTATION_SPACE[transform_id]
    for magnitude in (5, 9, 15):
        for sign in (1.0, -1.0) if is_signed else (1.0,):
            chosen = torch.full((len(images),), _KINDS.index(kind))
            signs = torch.full((len(images),), sign)
            monkeypatch.setattr(RandAugment, "_drawn", lambda *_, both=(chosen, signs): both)
            changed = RandAugment(1, magnitude)(images.clone(), Draws(0, chosen))
            strength = strengths(31, 20, 24)
            strength = 0.0 if strength is None else sign * float(strength[magnitude])
            expected = policy._apply_image_or_video_transform(
                images, transform_id, strength, interpolation=policy.interpolation, fill=policy._fill
            )
            same(changed, expected, 1e-5)


def test_rand_augment_knows_the_same_changes() -> None:
    assert set(v2.RandAugment._AUGMENTATION_SPACE) == set(TRANSFORM_IDS.values())


@pytest.mark.parametrize("policy", ["auto_augment", "augmix", "trivial_augment"])
def test_policies_of_torchvision_change_a_sample_alike_in_any_batch(policy: Any) -> None:
    images = torch.rand(6, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    augmentation = AugmentArgs(torchvision=policy).build()
    assert augmentation is not None
    before = torch.get_rng_state()
    together = augmentation(images, Draws(5, torch.arange(6)))
    alone = [augmentation(images[[n]], Draws(5, torch.tensor([n]))) for n in (4, 2)]
    assert together[[4, 2]].equal(torch.cat(alone)) and not together.equal(images)
    assert torch.get_rng_state().equal(before)
