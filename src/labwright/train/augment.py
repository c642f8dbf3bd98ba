"""Random changes of images [samples, channels, height, width], drawn for each sample, on the device they are on."""

from collections.abc import Callable

import torch
from torch import Generator, Tensor
from torch.nn import functional as F


class Augmentation:
    """What `AugmentArgs` asks for: crop, flip, erase, in this order."""

    def __init__(self, *, crop_padding: int = 0, horizontal_flip: bool = False, erase_size: int = 0) -> None:
        self._changes: list[Callable[[Tensor], Tensor]] = []
        if crop_padding:
            self._changes.append(lambda images: random_crop(images, crop_padding))
        if horizontal_flip:
            self._changes.append(random_flip)
        if erase_size:
            self._changes.append(lambda images: random_erase(images, erase_size))

    def __call__(self, images: Tensor) -> Tensor:
        """New images; those given stay as they are."""
        for change in self._changes:
            images = change(images)
        return images


def random_flip(images: Tensor, generator: Generator | None = None) -> Tensor:
    """Each image mirrored left to right or not, with equal chances."""
    is_mirrored = torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator) < 0.5
    return torch.where(is_mirrored, images.flip(-1), images)


def random_crop(images: Tensor, padding: int, generator: Generator | None = None) -> Tensor:
    """Each image moved by up to `padding` pixels down or up and right or left; what comes in is 0."""
    num_images, num_channels, height, width = images.shape
    moves = torch.randint(2 * padding + 1, (2, num_images, 1), device=images.device, generator=generator)
    rows = moves[0] + torch.arange(height, device=images.device)
    columns = moves[1] + torch.arange(width, device=images.device)
    padded = F.pad(images, (padding, padding, padding, padding))
    rows = rows[:, None, :, None].expand(-1, num_channels, -1, padded.shape[-1])
    columns = columns[:, None, None, :].expand(-1, num_channels, height, -1)
    return padded.gather(2, rows).gather(3, columns)


def random_erase(images: Tensor, size: int, generator: Generator | None = None) -> Tensor:
    """Each image with a square of `size` pixels set to 0 (cutout: DeVries and Taylor, 2017).

    Every pixel is equally likely to be its centre, so that a part of it may lie outside.
    """
    num_images, _, height, width = images.shape
    is_in_square = [
        _is_near(torch.randint(length, (num_images, 1), device=images.device, generator=generator), length, size)
        for length in (height, width)
    ]
    return images.masked_fill(is_in_square[0][:, None, :, None] & is_in_square[1][:, None, None, :], 0)


def _is_near(centres: Tensor, length: int, size: int) -> Tensor:
    """Which of `length` pixels belong to the `size` around each centre."""
    distances = torch.arange(length, device=centres.device) - (centres - size // 2)
    return (distances >= 0) & (distances < size)
