"""How near images come to those that they should be: errors over all pixels, and the similarity of each image."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

from labwright.args import UserError

from .base import widest_float
from .readings import NumberReading
from .state import Stateful

_SMALLEST_IMAGE = 6
"""The window of ssim reaches 5 pixels beyond the edge, where the image is mirrored."""


class DataRange(Stateful):
    """The range of an image's values: as given, or largest less smallest target of the split."""

    def __init__(self, given: float | None) -> None:
        self._given = given
        self._limits: list[Tensor] = []

    def update(self, target: Tensor) -> None:
        self._limits.append(torch.stack(target.aminmax()))

    def value(self) -> float:
        if self._given is not None:
            return self._given
        smallest, largest = torch.stack(self._limits).unbind(1)
        return (largest.max() - smallest.min()).item()


class PixelErrors(Stateful):
    """Squared errors over all pixels of the split."""

    def __init__(self, data_range: float | None) -> None:
        self._range = DataRange(data_range)
        self._sums: list[Tensor] = []
        self._num_pixels = 0

    def update(self, reading: NumberReading) -> None:
        self._range.update(reading.target)
        errors = (reading.preds - reading.target).square()
        self._sums.append(torch.stack([errors.sum(), reading.target.square().sum()]))
        self._num_pixels += errors.numel()

    def compute(self) -> Mapping[str, Tensor]:
        squared_error, squared_target = torch.stack(self._sums).sum(0).cpu()
        return {
            "nmse": squared_error / squared_target,
            "psnr": 10 * (self._range.value() ** 2 * self._num_pixels / squared_error).log10(),
        }


class Similarity(Stateful):
    """SSIM of each image; where the range is not given, the images wait in main memory until it is known."""

    def __init__(self, data_range: float | None) -> None:
        self._range = DataRange(data_range)
        self._is_range_known = data_range is not None
        self._device = torch.device("cpu")
        self._of_images: list[Tensor] = []
        self._waiting: list[Tensor] = []

    def update(self, reading: NumberReading) -> None:
        self._device = reading.preds.device
        preds, target = _images(reading.preds), _images(reading.target)
        if self._is_range_known:
            self._of_images.append(self._similarity(preds, target))
            return
        self._range.update(target)
        self._waiting.append(torch.stack([preds, target]).to("cpu", torch.float32))

    def compute(self) -> Mapping[str, Tensor]:
        wide = widest_float(self._device)
        waiting = [self._similarity(*pair.to(self._device, wide)) for pair in self._waiting]
        return {"ssim": torch.cat([*self._of_images, *waiting]).mean()}

    def _similarity(self, preds: Tensor, target: Tensor) -> Tensor:
        """[n], from double precision: TF32, a GPU's way with single precision, would spoil the variances."""
        data_range = self._range.value()
        similarity = structural_similarity_index_measure(preds, target, data_range=data_range, reduction="none")
        assert isinstance(similarity, Tensor)  # only with options not given here does an image come along
        return similarity


def _images(pixels: Tensor) -> Tensor:
    """[n, channels, height, width]"""
    pixels = pixels.unsqueeze(1) if pixels.ndim == 3 else pixels
    if pixels.ndim != 4 or min(pixels.shape[2:]) < _SMALLEST_IMAGE:
        shape = f"{_SMALLEST_IMAGE}x{_SMALLEST_IMAGE} pixels or more, [n, channels, height, width]"
        raise UserError(f"--metrics: ssim is for images of {shape}; these are {list(pixels.shape)}")
    return pixels
