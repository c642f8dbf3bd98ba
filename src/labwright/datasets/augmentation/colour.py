"""Changes of colour, sharpness and grey levels of float images [samples, channels, height, width] in [0, 1].

`factors` [samples] have one for each image: 1 changes nothing, 0 gives black (brightness), grey (contrast, saturation)
or a blurred image (sharpness). The results are those of torchvision's functions of these names.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from .draws import finest

_GREY = (0.2989, 0.587, 0.114)  # of red, green and blue, as in ITU-R BT.601


def grayscale(images: Tensor) -> Tensor:
    """The grey of each pixel, [samples, 1, height, width]; with one channel the images themselves."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(1)
    return (red * _GREY[0]).add_(green, alpha=_GREY[1]).add_(blue, alpha=_GREY[2]).unsqueeze(1)


def adjust_brightness(images: Tensor, factors: Tensor) -> Tensor:
    """Lighter or darker images."""
    return (images * _per_image(factors)).clamp_(0, 1)


def adjust_contrast(images: Tensor, factors: Tensor) -> Tensor:
    """Images further from their mean grey, or nearer to it."""
    # In two steps, each with a sum of its own for each result: one sum over all would be cut in parts by size of batch.
    means = grayscale(images).mean(-1, keepdim=True).mean(-2, keepdim=True)
    return _blend(images, means, factors)


def adjust_saturation(images: Tensor, factors: Tensor) -> Tensor:
    """More or less coloured images; with one channel the images themselves."""
    return images if images.shape[1] == 1 else _blend(images, grayscale(images), factors)


def adjust_hue(images: Tensor, shifts: Tensor) -> Tensor:
    """Images whose colours are moved along the wheel: by a half in either direction at most, 0 leaves them.

    With one channel the images themselves.
    """
    if images.shape[1] == 1:
        return images
    hue, saturation, value = _hsv(images)
    return _rgb((hue + shifts[:, None, None]).remainder_(1.0), saturation, value)


def adjust_sharpness(images: Tensor, factors: Tensor) -> Tensor:
    """Sharper images, or smoother ones; their outermost pixels stay."""
    if min(images.shape[-2:]) < 3:
        return images
    # By hand, since conv2d adds in another order for another size of the batch.
    rows = images[..., :-2, :] + images[..., 1:-1, :] + images[..., 2:, :]
    squares = rows[..., :-2] + rows[..., 1:-1] + rows[..., 2:]
    smooth = images.clone()
    smooth[..., 1:-1, 1:-1] = (squares + 4 * images[..., 1:-1, 1:-1]) / 13
    return _blend(images, smooth, factors)


def posterize(images: Tensor, bits: int) -> Tensor:
    """Images of 2**bits levels in each channel."""
    levels = 2**bits
    return (images * levels).floor_().clamp_(0, levels - 1).mul_(1 / levels)


def solarize(images: Tensor, threshold: float = 0.5) -> Tensor:
    """Images whose pixels from `threshold` on are inverted."""
    return torch.where(images >= threshold, 1 - images, images)


def autocontrast(images: Tensor) -> Tensor:
    """Images whose darkest number is 0 and whose lightest is 1, in each channel; one that is all alike stays."""
    darkest, lightest = images.amin((-2, -1), keepdim=True), images.amax((-2, -1), keepdim=True)
    is_flat = darkest == lightest
    span = torch.where(is_flat, 1.0, lightest - darkest)
    return ((images - darkest.masked_fill(is_flat, 0)) / span).clamp_(0, 1)


def equalize(images: Tensor) -> Tensor:
    """Images whose 256 levels are about equally frequent in each channel, as in Pillow."""
    levels = (images * (256 - 1e-3)).long().flatten(2)
    counts = levels.new_zeros(*levels.shape[:2], 256).scatter_add_(2, levels, torch.ones_like(levels))
    up_to = counts.cumsum(2)
    num_below_lightest = levels.shape[2] - counts.gather(2, up_to.argmax(2, keepdim=True))
    step = num_below_lightest // 255
    table = (F.pad(up_to[..., :-1], (1, 0)) + step // 2) // step.clamp(min=1)
    equal = table.clamp_(0, 255).gather(2, levels)
    return torch.where(step > 0, equal, levels).view_as(images).to(images.dtype).div_(255)


def gaussian_blur(images: Tensor, sigmas: Tensor, radius: int) -> Tensor:
    """Each image blurred by a Gaussian of its own width, in pixels; cut off at `radius`, mirrored at the edges.

    Smaller images are cut off sooner: mirrored, there are no more pixels.
    """
    height, width = images.shape[-2:]
    for dimension, length in ((-2, height), (-1, width)):
        reach = min(radius, length - 1)
        distances = torch.arange(-reach, reach + 1, device=images.device)
        weights = (-0.5 * (distances / sigmas[:, None].to(finest(images.device))).square()).exp()
        weights = (weights / weights.sum(1, keepdim=True)).to(images.dtype)
        sides = (0, 0, reach, reach) if dimension == -2 else (reach, reach, 0, 0)
        padded = F.pad(images, sides, mode="reflect")
        images = sum(  # pyright: ignore[reportAssignmentType]
            padded.narrow(dimension, tap, length) * _per_image(weights[:, tap]) for tap in range(2 * reach + 1)
        )
    return images


def _per_image(factors: Tensor) -> Tensor:
    return factors[:, None, None, None]


def _blend(images: Tensor, others: Tensor, factors: Tensor) -> Tensor:
    factors = _per_image(factors)
    return (images * factors).add_(others * (1 - factors)).clamp_(0, 1)


def _hsv(images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Hue, saturation and value of each pixel, in [0, 1]."""
    red, green, blue = images.unbind(1)
    least, value = images.amin(1), images.amax(1)
    span = value - least
    is_grey = span == 0
    saturation = span / torch.where(is_grey, 1.0, value)
    span = torch.where(is_grey, 1.0, span)
    of_green = 2 + (blue - red) / span
    of_blue = 4 + (red - green) / span
    hue = torch.where(value == red, (green - blue) / span, torch.where(value == green, of_green, of_blue))
    return (hue / 6).remainder_(1.0).masked_fill_(is_grey, 0.0), saturation, value


def _rgb(hue: Tensor, saturation: Tensor, value: Tensor) -> Tensor:
    """The images of `_hsv`: each channel is a wave over the hue, its height the saturation."""
    return torch.stack([_wave(hue, saturation, value, start) for start in (5, 3, 1)], dim=1)


def _wave(hue: Tensor, saturation: Tensor, value: Tensor, start: int) -> Tensor:
    place = (hue * 6 + start).remainder_(6)
    slope = torch.minimum(place, 4 - place).clamp_(0, 1)
    return (value - value * saturation * slope).clamp_(0, 1)
