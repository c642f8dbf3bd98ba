"""Policies of torchvision's v2 transforms that have no counterpart here, with random numbers of each sample's own."""

import random
from collections.abc import Callable
from contextlib import nullcontext
from importlib import import_module
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from labwright.args import UserError

from ..random_states import random_states_kept
from .draws import Draws

TorchvisionPolicy = Literal["auto_augment", "augmix", "trivial_augment"]
_NAMES: dict[TorchvisionPolicy, str] = {
    "auto_augment": "AutoAugment",
    "augmix": "AugMix",
    "trivial_augment": "TrivialAugmentWide",
}


def torchvision_policy(name: TorchvisionPolicy) -> "PerSample":
    """The policy of that name from `torchvision.transforms.v2`.

    Raises:
        UserError: torchvision is not installed.
    """
    try:
        v2 = import_module("torchvision.transforms.v2")
    except (ImportError, RuntimeError) as error:  # one that was built for another torch stops at its own operators
        raise UserError(
            f"--augment.torchvision={name} needs torchvision, which cannot be imported ({error}): "
            'pip install "labwright[vision]"'
        ) from error
    return PerSample(getattr(v2, _NAMES[name])())


class PerSample:
    """A function of one image, uint8 [channels, height, width], such as a v2 transform, as a policy for a batch.

    It may draw from the generators of Python, NumPy and torch: each image finds them seeded by its own sample, and
    afterwards they stand where they stood.
    """

    def __init__(self, transform: Callable[[Tensor], Tensor]) -> None:
        self.transform = transform

    def __call__(self, images: Tensor, draws: Draws) -> Tensor:
        """Float images [samples, channels, height, width] in [0, 1], changed by way of 256 levels."""
        of_256_levels = (images * 255).round_().to(torch.uint8)
        seeds = draws.integers("policy", 2**24).tolist()
        changed: list[Tensor] = []
        device = images.device
        of_device = nullcontext() if device.type == "cpu" else torch.random.fork_rng([device], device_type=device.type)
        with random_states_kept(), of_device:
            for image, seed in zip(of_256_levels, seeds, strict=True):
                _seed(seed, device)
                changed.append(self.transform(image))
        return torch.stack(changed).to(images.dtype).div_(255)


def _seed(seed: int, device: torch.device) -> None:
    """Seed all generators that work on `device` may draw from, and no others."""
    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.get_device_module(device).manual_seed(seed)
