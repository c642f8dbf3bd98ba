"""What black and white are in the numbers of an image, and the way there and back."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor


class Levels(NamedTuple):
    """The numbers that stand for black and for white: one each, or one for each channel."""

    black: float | tuple[float, ...] = 0.0
    white: float | tuple[float, ...] = 1.0

    def to_unit(self, images: Tensor) -> Tensor:
        """New images, float, whose black is 0 and whose white is 1."""
        black, white = self._of_channels(images)
        images = images if images.is_floating_point() else images.float()
        return (images - black).div_(white - black)

    def from_unit(self, images: Tensor, like: Tensor) -> Tensor:
        """The way back, to the numbers and the dtype of `like`; `images` may be overwritten."""
        black, white = self._of_channels(like)
        images = images.mul_(white - black).add_(black)
        return images.to(like.dtype) if like.is_floating_point() else images.round_().clamp_(0, 255).to(like.dtype)

    def fill(self, images: Tensor) -> Tensor:
        """What a pixel of 0 is between black and white, [1, channels or 1, 1, 1]."""
        black, white = self._of_channels(images)
        return (-black / (white - black)).clamp_(0, 1)

    def _of_channels(self, images: Tensor) -> tuple[Tensor, Tensor]:
        return _tensors(self, images.dtype if images.is_floating_point() else torch.float32, images.device)


@lru_cache(maxsize=64)
def _tensors(levels: Levels, dtype: torch.dtype, device: torch.device) -> tuple[Tensor, Tensor]:
    black, white = (torch.tensor(level, dtype=dtype, device=device).reshape(1, -1, 1, 1) for level in levels)
    return black, white


BYTES = Levels(0.0, 255.0)


def normalize(images: Tensor, mean: Tensor | float, std: Tensor | float) -> Tensor:
    """(images - mean) / std, float32; `mean` and `std` are numbers, or have one for each channel.

    They are in the units of the images: those of bytes lie between 0 and 255.
    """
    mean, std = (torch.as_tensor(each, dtype=torch.float32, device=images.device) for each in (mean, std))
    return (images.float() - mean.reshape(-1, 1, 1)) / std.reshape(-1, 1, 1)
