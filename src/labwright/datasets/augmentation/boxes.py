"""Boxes in images: squares that are erased, and the parts that cutmix exchanges."""

import torch
from torch import Tensor

from .draws import Draws


def random_erase(images: Tensor, size: int, draws: Draws) -> Tensor:
    """Each image with a square of `size` pixels set to 0 (cutout: DeVries and Taylor, 2017).

    Every pixel is equally likely to be its centre, so that a part of it may lie outside.
    """
    rows, columns = random_centres(images, "erase", draws)
    starts = [rows - size // 2, columns - size // 2]
    return images.masked_fill(inside(images, *starts, *(start + size for start in starts)), 0)


def random_centres(images: Tensor, name: str, draws: Draws) -> tuple[Tensor, Tensor]:
    """Row and column of a pixel of each image, int64 [samples]."""
    height, width = images.shape[-2:]
    return draws.integers(f"{name} rows", height), draws.integers(f"{name} columns", width)


def inside(images: Tensor, top: Tensor, left: Tensor, bottom: Tensor, right: Tensor) -> Tensor:
    """Which pixels lie from `top` and `left` to before `bottom` and `right`, bool [samples, 1, height, width]."""
    rows = torch.arange(images.shape[-2], device=images.device)
    columns = torch.arange(images.shape[-1], device=images.device)
    is_in_rows = (rows >= top[:, None]) & (rows < bottom[:, None])
    is_in_columns = (columns >= left[:, None]) & (columns < right[:, None])
    return is_in_rows[:, None, :, None] & is_in_columns[:, None, None, :]
