"""Pictures to change."""

from typing import Any

import pytest
import torch
from torch import Tensor

from labwright.datasets import Draws
from labwright.datasets.digits import build_digits


@pytest.fixture
def digits() -> Tensor:
    """64 images of three channels, no pixel of which is 0."""
    dataset: Any = build_digits(0.1, 0.2, 0).train["train"]
    pictures: Tensor = dataset.__getitems__(list(range(64)))["input"]
    return (pictures + 10).expand(-1, 3, -1, -1).clone()


@pytest.fixture
def photos() -> Tensor:
    """40 images of bytes, each of soft colours and some noise, [40, 3, 18, 24]."""
    generator = torch.Generator().manual_seed(0)
    soft = torch.rand(40, 3, 4, 5, generator=generator)
    large = torch.nn.functional.interpolate(soft, (18, 24), mode="bilinear") * 230
    return (large + 25 * torch.rand(large.shape, generator=generator)).to(torch.uint8)


@pytest.fixture
def draws() -> Draws:
    return Draws(7, torch.arange(64))
