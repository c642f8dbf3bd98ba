"""Policies: several changes of which each sample gets some. Float images [samples, channels, height, width] in [0, 1].

A policy owns the images that it is given and may overwrite them.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from . import colour
from .draws import Draws
from .geometry import Fill, affine

RandAugmentLevel = Literal["light", "medium", "strong"]
_MOST_BLUR = 2.0
"""Pixels of the widest Gaussian of `three_augment`."""


class ColourJitter(NamedTuple):
    """Brightness, contrast and saturation times a number from 1 - x to 1 + x, hue moved by up to x; in this order."""

    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        for name, adjust in _JITTERED.items():
            extent: float = getattr(self, name)
            if extent:
                factors = draws.between(name, max(0.0, 1 - extent), 1 + extent)
                images = adjust(images, factors)
        if self.hue:
            images = colour.adjust_hue(images, draws.between("hue", -self.hue, self.hue))
        return images


_JITTERED: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "brightness": colour.adjust_brightness,
    "contrast": colour.adjust_contrast,
    "saturation": colour.adjust_saturation,
}


class RandAugment(NamedTuple):
    """`num_changes` of 14 changes, each drawn anew, of strength `magnitude` out of 30 (Cubuk et al., 2020)."""

    num_changes: int = 2
    magnitude: int = 9

    def __call__(self, images: Tensor, draws: Draws, fill: Fill = 0.0) -> Tensor:
        for number in range(self.num_changes):
            chosen, signs = self._drawn(draws, number)
            images = self._moved(images, chosen, signs, fill)
            extent = 0.9 * self.magnitude / 30
            for kind, adjust in _ADJUSTED.items():
                change_where(images, chosen == _KINDS.index(kind), adjust, 1 + extent * signs)
            for kind, change in self._plain().items():
                change_where(images, chosen == _KINDS.index(kind), change)
        return images

    def moved(self, masks: Tensor, draws: Draws, fill: int) -> Tensor:
        """Masks [samples, 1, height, width] moved as their images are."""
        masks = masks.clone()
        for number in range(self.num_changes):
            self._moved(masks, *self._drawn(draws, number), fill, nearest=True)
        return masks

    def _drawn(self, draws: Draws, number: int) -> tuple[Tensor, Tensor]:
        """Which of the kinds each sample gets, and whether forwards or back."""
        name = f"rand augment {number}"
        return draws.integers(name, len(_KINDS)), 1 - 2 * draws.chance(f"{name} sign").float()

    def _moved(self, images: Tensor, chosen: Tensor, signs: Tensor, fill: Fill, nearest: bool = False) -> Tensor:
        height, width = images.shape[-2:]
        matrices = self._matrices(chosen, signs, height, width)

        def move(images: Tensor, matrices: Tensor) -> Tensor:
            return affine(images, matrices, fill, nearest=nearest)

        return change_where(images, chosen < _NUM_MOVES, move, matrices)

    def _matrices(self, chosen: Tensor, signs: Tensor, height: int, width: int) -> Tensor:
        """Of shears about the left upper corner, moves by whole pixels and turns about the middle."""
        share = self.magnitude / 30
        shears, turn = signs * 0.3 * share, math.radians(30 * share)
        moves = [signs * int(150 / 331 * length * share) for length in (width, height)]
        is_kind = {kind: chosen == number for number, kind in enumerate(_KINDS[:_NUM_MOVES])}
        zero, one = torch.zeros_like(signs), torch.ones_like(signs)
        cos = torch.where(is_kind["rotate"], math.cos(turn), one)
        sin = torch.where(is_kind["rotate"], signs * math.sin(turn), zero)
        xy = torch.where(is_kind["shear x"], shears, -sin)
        yx = torch.where(is_kind["shear y"], shears, sin)
        x1 = torch.where(is_kind["shear x"], shears * (height / 2), torch.where(is_kind["move x"], -moves[0], zero))
        y1 = torch.where(is_kind["shear y"], shears * (width / 2), torch.where(is_kind["move y"], -moves[1], zero))
        return torch.stack([cos, xy, x1, yx, cos, y1], dim=1).view(-1, 2, 3)

    def _plain(self) -> dict[str, Callable[[Tensor], Tensor]]:
        """The changes that are alike for all samples."""
        bits, threshold = round(8 - 4 * self.magnitude / 30), 1 - self.magnitude / 30
        return {
            "posterize": lambda images: colour.posterize(images, bits),
            "solarize": lambda images: colour.solarize(images, threshold),
            "autocontrast": colour.autocontrast,
            "equalize": colour.equalize,
        }


_ADJUSTED = _JITTERED | {"sharpness": colour.adjust_sharpness}
_NUM_MOVES = 5
_KINDS = (
    *("shear x", "shear y", "move x", "move y", "rotate"),
    *_ADJUSTED,
    *("posterize", "solarize", "autocontrast", "equalize", "nothing"),
)

RAND_AUGMENT: Mapping[RandAugmentLevel, RandAugment] = {
    "light": RandAugment(2, 5),
    "medium": RandAugment(2, 9),
    "strong": RandAugment(2, 15),
}


def three_augment(images: Tensor, draws: Draws) -> Tensor:
    """Each image grey, solarized from one half on, or blurred, with equal chances (Touvron et al., 2022)."""
    chosen = draws.integers("three augment", 3)
    change_where(images, chosen == 0, lambda images: colour.grayscale(images).expand_as(images))
    change_where(images, chosen == 1, colour.solarize)
    return change_where(images, chosen == 2, _blurred, draws.between("blur", 0.1, _MOST_BLUR))


def _blurred(images: Tensor, sigmas: Tensor) -> Tensor:
    return colour.gaussian_blur(images, sigmas, radius=round(3 * _MOST_BLUR))


def change_where(images: Tensor, is_chosen: Tensor, change: Callable[..., Tensor], *values: Any) -> Tensor:
    """The images, those chosen overwritten by `change(images, *values)`; values have one for each image.

    On the CPU the others are left out of the work; on an accelerator asking which they are would mean to wait for it.
    """
    if not images.is_cpu:
        return images.copy_(torch.where(is_chosen[:, None, None, None], change(images, *values), images))
    rows = is_chosen.nonzero().squeeze(1)
    if not len(rows):
        return images
    return images.index_copy_(0, rows, change(images[rows], *(each[rows] for each in values)))
