"""Random moves of images [samples, channels, height, width], drawn for each sample, on the device they are on.

The same draws move a mask [samples, 1, height, width] as they move its image; `nearest` keeps its classes whole.
"""

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from .draws import Draws, finest

Fill = Tensor | float
"""What comes in from outside: a number, or [1, channels, 1, 1]."""
_NUM_ATTEMPTS = 10


def random_flip(images: Tensor, draws: Draws, *, vertical: bool = False) -> Tensor:
    """Each image mirrored left to right (top to bottom, where `vertical`) or not, with equal chances."""
    is_mirrored = draws.chance("vertical flip" if vertical else "horizontal flip")
    return torch.where(is_mirrored[:, None, None, None], images.flip(-2 if vertical else -1), images)


def random_crop(images: Tensor, padding: int, draws: Draws, *, fill: Fill = 0.0) -> Tensor:
    """Each image moved by up to `padding` pixels down or up and right or left; what comes in is `fill`."""
    _, num_channels, height, width = images.shape
    rows = draws.integers("crop rows", 2 * padding + 1)[:, None] + torch.arange(height, device=images.device)
    columns = draws.integers("crop columns", 2 * padding + 1)[:, None] + torch.arange(width, device=images.device)
    padded = _padded(images, padding, fill)
    rows = rows[:, None, :, None].expand(-1, num_channels, -1, padded.shape[-1])
    columns = columns[:, None, None, :].expand(-1, num_channels, height, -1)
    return padded.gather(2, rows).gather(3, columns)


def _padded(images: Tensor, padding: int, fill: Fill) -> Tensor:
    sides = (padding, padding, padding, padding)
    return F.pad(images - fill, sides) + fill if isinstance(fill, Tensor) else F.pad(images, sides, value=fill)


def random_resized_crop(
    images: Tensor,
    draws: Draws,
    scale: tuple[float, float] = (0.08, 1.0),
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    *,
    nearest: bool = False,
) -> Tensor:
    """A part of each image in the size of the whole (Szegedy et al., 2015), bilinear.

    Its share of the area lies in `scale`, its width over its height in `ratio`; drawn up to ten times until it fits,
    else the largest part in the middle that does.
    """
    height, width = images.shape[-2:]
    box = crop_boxes(draws, height, width, scale, ratio)
    top, left, part_height, part_width = (each[:, None] for each in box.to(torch.float32).unbind(1))
    rows = _within(torch.arange(height, device=images.device), height, top, part_height)
    columns = _within(torch.arange(width, device=images.device), width, left, part_width)
    return _sampled(images, columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width), nearest)


def crop_boxes(draws: Draws, height: int, width: int, scale: tuple[float, float], ratio: tuple[float, float]) -> Tensor:
    """Top, left, height and width of the part that `random_resized_crop` takes of each image, int64 [samples, 4]."""
    numbers = draws.uniform("resized crop", 2 * _NUM_ATTEMPTS).view(-1, _NUM_ATTEMPTS, 2).to(finest(draws.device))
    area = (numbers[..., 0] * (scale[1] - scale[0]) + scale[0]) * (height * width)
    low, high = math.log(ratio[0]), math.log(ratio[1])
    aspect = (numbers[..., 1] * (high - low) + low).exp()
    widths, heights = (area * aspect).sqrt().round(), (area / aspect).sqrt().round()
    fits = (widths >= 1) & (widths <= width) & (heights >= 1) & (heights <= height)
    first = fits.to(torch.int64).argmax(1, keepdim=True)
    middle_width, middle_height = _largest_part(height, width, ratio)
    any_fits = fits.any(1)
    part_width = torch.where(any_fits, widths.gather(1, first).squeeze(1).long(), middle_width)
    part_height = torch.where(any_fits, heights.gather(1, first).squeeze(1).long(), middle_height)
    rest_height, rest_width = height - part_height, width - part_width
    top = torch.where(any_fits, draws.integers("resized crop top", rest_height + 1), rest_height // 2)
    left = torch.where(any_fits, draws.integers("resized crop left", rest_width + 1), rest_width // 2)
    return torch.stack([top, left, part_height, part_width], dim=1)


def _largest_part(height: int, width: int, ratio: tuple[float, float]) -> tuple[int, int]:
    """Width and height of the largest part whose ratio is allowed."""
    if width / height < ratio[0]:
        return width, round(width / ratio[0])
    if width / height > ratio[1]:
        return round(height * ratio[1]), height
    return width, height


def _within(pixels: Tensor, length: int, start: Tensor, part: Tensor) -> Tensor:
    """Where `pixels` of a part that is stretched to the whole `length` come from; never from beside the part."""
    places = (pixels + 0.5) * (part / length) - 0.5
    return start + torch.minimum(places.clamp(min=0), part - 1)


def affine(images: Tensor, matrices: Tensor, fill: Fill = 0.0, *, nearest: bool = False) -> Tensor:
    """Each image seen through its matrix, bilinear; what comes in from outside is `fill`.

    `matrices` [samples, 2, 3] say where a pixel (x, y, 1) of the new image lies in the old one, in pixels from the
    middle, x to the right and y down.
    """
    height, width = images.shape[-2:]
    x = (torch.arange(width, device=images.device, dtype=matrices.dtype) - (width - 1) / 2)[None, None, :]
    y = (torch.arange(height, device=images.device, dtype=matrices.dtype) - (height - 1) / 2)[None, :, None]
    (xx, xy, x1), (yx, yy, y1) = (row.unbind(1) for row in matrices[..., None, None].unbind(1))
    columns = xx * x + xy * y + x1 + (width - 1) / 2
    rows = yx * x + yy * y + y1 + (height - 1) / 2
    return _sampled(images, columns, rows, nearest, fill)


def _sampled(images: Tensor, columns: Tensor, rows: Tensor, nearest: bool, fill: Fill = 0.0) -> Tensor:
    """The images at these places [samples, height, width], in pixels."""
    height, width = images.shape[-2:]
    if nearest:  # by index, so that any whole number stays itself
        columns, rows = columns.round().long(), rows.round().long()
        is_inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
        places = (rows.clamp(0, height - 1) * width + columns.clamp(0, width - 1)).flatten(1)[:, None]
        found = images.flatten(2).gather(2, places.expand(-1, images.shape[1], -1)).view_as(images)
        return torch.where(is_inside[:, None], found, torch.as_tensor(fill, dtype=images.dtype, device=images.device))
    grid = torch.stack([(2 * columns + 1) / width - 1, (2 * rows + 1) / height - 1], dim=-1).to(images.dtype)
    return F.grid_sample(images - fill, grid, mode="bilinear", padding_mode="zeros", align_corners=False) + fill
