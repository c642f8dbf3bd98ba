"""A small U-Net."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class UNet(nn.Module):
    """`down` (convolutions at ever coarser resolutions), `up` (back, seeing what was there before) and `head`.

    Takes images `[N, num_inputs, height, width]` of any size, gives `[N, num_outputs, height, width]`.
    """

    prefers_channels_last = True

    def __init__(self, num_inputs: int, channels: Sequence[int], num_outputs: int) -> None:
        super().__init__()
        self.down = nn.ModuleList(_block(before, after) for before, after in pairwise([num_inputs, *channels]))
        steps_up = reversed([*pairwise(channels)])
        self.up = nn.ModuleList(_block(coarse + fine, fine) for fine, coarse in steps_up)
        self.head = nn.Conv2d(channels[0], num_outputs, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        seen: list[Tensor] = []
        for block in self.down:
            x = block(F.max_pool2d(x, 2, ceil_mode=True) if seen else x)
            seen.append(x)
        for block, fine in zip(self.up, reversed(seen[:-1]), strict=True):
            x = block(torch.cat([F.interpolate(x, size=fine.shape[-2:]), fine], dim=1))
        return self.head(x)


def _block(num_inputs: int, num_outputs: int) -> nn.Module:
    return nn.Sequential(*_convolution(num_inputs, num_outputs), *_convolution(num_outputs, num_outputs))


def _convolution(num_inputs: int, num_outputs: int) -> list[nn.Module]:
    """Its bias would be taken off again by the normalisation."""
    convolution = nn.Conv2d(num_inputs, num_outputs, kernel_size=3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(num_outputs), nn.ReLU()]
