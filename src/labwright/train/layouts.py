"""Channels last: the layout in memory that many convolutions are faster in."""

import torch
from torch import nn
from torch.optim import Optimizer

_GAINING = {nn.BatchNorm2d, nn.MaxPool2d}
_KNOWN = _GAINING | {nn.Conv2d, nn.Dropout, nn.Dropout2d, nn.Flatten, nn.Linear, nn.ReLU, nn.Sequential, nn.Tanh}
"""What was measured together with convolutions; `docs/acceleration.md` has the numbers."""


def has_convolutions(model: nn.Module) -> bool:
    """Whether the model convolves images."""
    return any(isinstance(module, nn.Conv2d | nn.ConvTranspose2d) for module in model.modules())


def prefers_channels_last(model: nn.Module, device: torch.device) -> bool:
    """Whether the model is known to be faster so, on this device.

    It may say so itself, by `prefers_channels_last = True`; and one that is made of convolutions, pooling or batch
    normalization, and linear layers is. Any other may be slower (with nn.GroupNorm by a third), or depend on the usual
    layout: `x.view(len(x), -1)` of what a convolution gives fails without it.
    """
    if device.type not in ("cpu", "cuda"):
        return False
    kinds = {type(module) for module in model.modules()}
    is_classifier = kinds <= _KNOWN and nn.Conv2d in kinds and nn.Flatten in kinds and bool(kinds & _GAINING)
    return getattr(model, "prefers_channels_last", is_classifier)


def to_channels_last(model: nn.Module) -> None:
    """Lay out the weights of convolutions so; what they are given and what they give follows."""
    model.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


@torch.no_grad()
def align_state(optimizer: Optimizer) -> None:
    """Lay out the optimizer's state as its parameters are: fused optimizers go through both as they lie in memory.

    A state that was loaded has the layout that the parameters had when it was saved.
    """
    for parameter, state in optimizer.state.items():
        for name, value in state.items():
            if isinstance(value, torch.Tensor) and value.shape == parameter.shape:
                if value.stride() != parameter.stride():
                    state[name] = torch.empty_like(parameter, dtype=value.dtype).copy_(value)
