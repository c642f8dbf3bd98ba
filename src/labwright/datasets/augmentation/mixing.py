"""Mixup and cutmix: pairs of samples made of both, and targets that say how much of each class is in them."""

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from .boxes import inside, random_centres
from .draws import Draws

_TABLE_SIZE = 1024


class Mixing:
    """Mixup (Zhang et al., 2018), cutmix (Yun et al., 2019), or for each sample one of the two with equal chances.

    A sample's partner is its neighbour in the batch: the first and the second are a pair, the third and the fourth, and
    so on; the last of an odd number stays as it is. All numbers are a sample's own. So nothing changes where a batch
    is shared among ranks, or cut in smaller ones, as long as each part has an even number of samples.
    """

    def __init__(self, mixup_alpha: float = 0.0, cutmix_alpha: float = 0.0) -> None:
        """A sample keeps a share of itself drawn from Beta(alpha, alpha); an alpha of 0 leaves that kind out."""
        self.mixup_alpha, self.cutmix_alpha = mixup_alpha, cutmix_alpha

    def __call__(self, images: Tensor, targets: Tensor, num_classes: int, draws: Draws) -> tuple[Tensor, Tensor]:
        """New images, and soft targets, float32 [samples, classes], of classes int64 [samples]."""
        partners = (torch.arange(len(images), device=images.device) ^ 1).clamp(max=len(images) - 1)
        others = images[partners]
        if not self.cutmix_alpha:
            mixed, shares = mixup(images, others, self.mixup_alpha, draws)
        elif not self.mixup_alpha:
            mixed, shares = cutmix(images, others, self.cutmix_alpha, draws)
        else:
            is_blended = draws.chance("mixup or cutmix")
            blended, shares = mixup(images, others, self.mixup_alpha, draws)
            cut, shares_of_cut = cutmix(images, others, self.cutmix_alpha, draws)
            mixed = torch.where(is_blended[:, None, None, None], blended, cut)
            shares = torch.where(is_blended, shares, shares_of_cut)
        if len(images) % 2:
            mixed[-1], shares[-1] = images[-1], 1
        one, other = (F.one_hot(each, num_classes) for each in (targets, targets[partners]))
        return mixed, one * shares[:, None] + other * (1 - shares[:, None])


def mixup(images: Tensor, others: Tensor, alpha: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Each image times its share plus the other one times the rest; and the shares [samples]."""
    shares = beta(draws.uniform("mixup").squeeze(1), alpha)
    weights = shares[:, None, None, None]
    # By hand, since lerp rounds differently for another size of the batch.
    if images.is_floating_point():
        weights = weights.to(images.dtype)
        return images * weights + others * (1 - weights), shares
    return (images * weights + others * (1 - weights)).round_().to(images.dtype), shares


def cutmix(images: Tensor, others: Tensor, alpha: float, draws: Draws) -> tuple[Tensor, Tensor]:
    """Each image with a box of the other one; and the share of it that is left [samples].

    The box has the image's shape and its centre anywhere, so that a part of it may lie outside.
    """
    height, width = images.shape[-2:]
    side = (1 - beta(draws.uniform("cutmix").squeeze(1), alpha)).clamp(min=0).sqrt()
    rows, columns = random_centres(images, "cutmix", draws)
    sizes = [(side * length).long() for length in (height, width)]
    starts = [centre - size // 2 for centre, size in zip((rows, columns), sizes, strict=True)]
    is_cut = inside(images, *starts, *(start + size for start, size in zip(starts, sizes, strict=True)))
    return torch.where(is_cut, others, images), 1 - is_cut.sum((1, 2, 3)) / (height * width)


def beta(uniform: Tensor, alpha: float) -> Tensor:
    """Numbers distributed as Beta(alpha, alpha), made of as many from [0, 1) by a table of 2048 quantiles."""
    if alpha == 1:
        return uniform
    place = 2 * torch.minimum(uniform, 1 - uniform) * _TABLE_SIZE
    left = place.long().clamp(max=_TABLE_SIZE - 1)
    table = _quantiles(alpha, uniform.device)
    half = table[left] + (table[left + 1] - table[left]) * (place - left)
    return torch.where(uniform < 0.5, half, 1 - half)


@lru_cache(maxsize=16)
def _quantiles(alpha: float, device: torch.device) -> Tensor:
    """x at equal steps of probability from 0 to one half.

    The density of x, x ** (alpha - 1) (1 - x) ** (alpha - 1), is summed over t = (2 x) ** alpha, where it is
    (1 - x) ** (alpha - 1) times a constant: nowhere infinite.
    """
    t = np.linspace(0, 1, 16 * _TABLE_SIZE + 1)
    density = (1 - t ** (1 / alpha) / 2) ** (alpha - 1)
    up_to = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2)])
    quantiles = np.interp(np.linspace(0, up_to[-1], _TABLE_SIZE + 1), up_to, t) ** (1 / alpha) / 2
    return torch.from_numpy(quantiles).to(device, torch.float32)
