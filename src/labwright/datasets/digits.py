"""scikit-learn's handwritten digits: real, small, and always there."""

import numpy as np
import torch

from .bundled import digits_table
from .splits import Splits
from .tensor import TensorDataset, split_tensors

# of all pixels, in the stored units: 0 to 16, and 0 to 255 once upscaled
WHITE = 16
_MEAN, _STD = 4.884, 6.017
_UPSCALED_MEAN, _UPSCALED_STD = 77.9, 82.8
_CLASS_NAMES = tuple("0123456789")


def build_digits(val_fraction: float, test_fraction: float, seed: int) -> Splits:
    """The 1,797 images as they are, 8x8."""
    images, labels = _load()
    data = TensorDataset(torch.from_numpy(images), torch.from_numpy(labels), source="digits", mean=_MEAN, std=_STD)
    return split_tensors(
        data,
        name="scikit-learn digits",
        val_fraction=val_fraction,
        test_fraction=test_fraction,
        seed=seed,
        class_names=_CLASS_NAMES,
        is_image=True,
    )


def build_upscaled_digits(val_fraction: float, seed: int, *, warnings: tuple[str, ...] = ()) -> Splits:
    """The same images in MNIST's shape; a fifth is the test set."""
    images, labels = upscaled_digits(28)
    return split_tensors(
        TensorDataset(images, labels, source="digits", mean=_UPSCALED_MEAN, std=_UPSCALED_STD),
        name="scikit-learn digits, upscaled to 28x28",
        val_fraction=val_fraction,
        test_fraction=0.2,
        seed=seed,
        class_names=_CLASS_NAMES,
        is_image=True,
        warnings=warnings,
    )


def upscaled_digits(size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The images as uint8 [N, 1, size, size] of 0 to 255, and their labels."""
    images, labels = _load()
    grey = torch.from_numpy(images).float() * (255 / WHITE)
    upscaled = torch.nn.functional.interpolate(grey, size=(size, size), mode="bilinear", align_corners=False)
    return upscaled.round().to(torch.uint8), torch.from_numpy(labels)


def _load() -> tuple[np.ndarray, np.ndarray]:
    """Images [N, 1, 8, 8] of 0 to 16, and labels."""
    table = digits_table()
    return table[:, :-1].astype(np.uint8).reshape(-1, 1, 8, 8), table[:, -1].astype(np.int64)
