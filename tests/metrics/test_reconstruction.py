"""Metrics of reconstructed images against their formulas."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import sklearn.metrics
import torch
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure

Measure = Callable[..., dict[str, float]]
sk: Any = sklearn.metrics


@pytest.mark.parametrize("data_range", [None, 2.0])
@pytest.mark.parametrize("sizes", [[3], [40]])
def test_reconstruction_metrics_are_their_formulas(
    measure: Measure, digits_images: Tensor, sizes: list[int], data_range: float | None
) -> None:
    clean = digits_images
    noisy = clean + 0.1 * torch.randn_like(clean)
    names = ["nmse", "psnr", "ssim"]
    outputs = {"reconstruction": noisy}
    values = measure({"image_reconstruction": names}, outputs, clean, sizes=sizes, data_range=data_range)
    spread = data_range or (clean.max() - clean.min()).item()
    mse = sk.mean_squared_error(clean.flatten(), noisy.flatten())
    ssim = structural_similarity_index_measure(noisy.double(), clean.double(), data_range=spread)
    assert isinstance(ssim, Tensor)
    nmse = ((clean - noisy).square().sum() / clean.square().sum()).item()
    assert values == pytest.approx(
        {"nmse": nmse, "psnr": 10 * math.log10(spread**2 / mse), "ssim": ssim.item()}, rel=1e-6
    )


@pytest.fixture(scope="session")
def digits_images() -> Tensor:
    """[40, 1, 8, 8] of 0 to 1; the brightest pixel is not in every batch."""
    from sklearn.datasets import load_digits

    images = torch.tensor(load_digits(return_X_y=True)[0][:40], dtype=torch.float32).reshape(40, 1, 8, 8) / 20
    images[17, 0, 3, 3] = 1.0
    return images


def test_images_without_channels_or_of_several_sizes_are_measured_too(measure: Measure) -> None:
    small, large = torch.rand(3, 8, 9), torch.rand(3, 1, 12, 10)
    values = {
        name: measure({"image_reconstruction": ["ssim", "nmse"]}, {"reconstruction": x}, x.clone())
        for name, x in (("small", small), ("large", large))
    }
    assert values["small"] == values["large"] == pytest.approx({"ssim": 1.0, "nmse": 0.0})


def test_perfect_reconstruction_has_infinite_psnr(measure: Measure) -> None:
    image = torch.rand(2, 1, 8, 8)
    assert measure({"image_reconstruction": ["psnr"]}, {"reconstruction": image}, image)["psnr"] == math.inf


def test_images_too_small_for_ssim_are_refused_in_the_first_batch(measure: Measure) -> None:
    image = torch.rand(2, 1, 5, 8)
    with pytest.raises(ValueError, match=r"ssim is for images of 6x6 pixels or more, .*; these are \[2, 1, 5, 8\]"):
        measure({"image_reconstruction": ["ssim"]}, {"reconstruction": image}, image)
