"""Noise on the inputs of training batches."""

import torch
from torch import Tensor

from labwright.args.errors import UserError


def add_noise(inputs: Tensor, white_noise_sd: float, constant_offset_sd: float) -> Tensor:
    """The inputs with Gaussian noise, in a new tensor; the inputs themselves when both deviations are 0.

    `white_noise_sd` draws a number for each element, `constant_offset_sd` one for each sample (first dimension), added
    to all its elements. Both come from torch's generator on the inputs' device.
    """
    if white_noise_sd == 0 and constant_offset_sd == 0:
        return inputs
    if not inputs.is_floating_point():
        raise UserError(f"input noise needs real-valued inputs, not {inputs.dtype}; leave the noise options at 0")
    noisy = inputs
    if white_noise_sd:
        noisy = noisy.add(torch.randn_like(inputs), alpha=white_noise_sd)
    if constant_offset_sd:
        shape = (len(inputs),) + (1,) * (inputs.ndim - 1)
        offsets = torch.randn(shape, dtype=inputs.dtype, device=inputs.device)
        noisy = noisy.add(offsets, alpha=constant_offset_sd)
    return noisy
