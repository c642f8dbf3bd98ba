"""CUDA graphs of a model's forward and backward pass: for small models, whose kernels take less time than their start.

Not run on a GPU yet: what decides and what surrounds the graphs is tested with a stand-in for CUDA.
"""

from typing import Any

import torch
from torch import Tensor, nn

from .seeding import rng_state, set_rng_state

MOST_WEIGHTS = 2**22
"""Models with more keep a GPU busy for longer than it takes to ask for their kernels."""


class GraphedForward:
    """Stands in for `model.forward`: full batches of training replay graphs, all else runs as ever.

    The graphs are captured at the first batch of `batch_size`; the last, shorter one and evaluation run without them.
    A replay writes where the one before wrote. So the output is copied, there may be one forward pass in each backward
    pass, and gradients must have been used when the next batch comes.
    """

    def __init__(self, model: nn.Module, batch_size: int) -> None:
        self._model = model
        self._batch_size = batch_size
        self._eager = model.forward
        self._graphed: Any = None
        self._sample: Tensor | None = None

    def __call__(self, input: Tensor) -> Tensor:
        if not (self._model.training and torch.is_grad_enabled() and len(input) == self._batch_size):
            return self._eager(input)
        if self._sample is None:
            self._sample = self._capture(input)
        if not _are_alike(input, self._sample):
            return self._eager(input)
        return self._graphed(input).clone()

    def _capture(self, input: Tensor) -> Tensor:
        """Capture graphs for inputs like this one; buffers and random numbers are as if nothing had been computed."""
        sample = input.detach().clone()
        rng, buffers = rng_state(), [(buffer, buffer.clone()) for buffer in self._model.buffers()]
        device = input.device.type
        is_mixed = torch.is_autocast_enabled(device)
        self._model.forward = self._eager
        with torch.autocast(device, torch.get_autocast_dtype(device), enabled=is_mixed, cache_enabled=False):
            torch.cuda.make_graphed_callables(self._model, (sample,), allow_unused_input=True)
        self._graphed, self._model.forward = self._model.forward, self
        with torch.no_grad():
            for buffer, before in buffers:
                buffer.copy_(before)
        set_rng_state(rng)
        return sample


def use_cuda_graphs(model: nn.Module, batch_size: int) -> None:
    """From now on `model` trains by CUDA graphs on batches of `batch_size`."""
    model.forward = GraphedForward(model, batch_size)


def _are_alike(one: Tensor, other: Tensor) -> bool:
    return all((one.shape == other.shape, one.dtype == other.dtype, one.requires_grad == other.requires_grad))
