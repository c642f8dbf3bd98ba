"""Channels last: who is laid out so, and that an optimizer's state follows its weights."""

import copy
from typing import Any

import pytest
import torch
from safetensors.torch import load
from torch import nn

from labwright.models import CNNArgs
from labwright.train import flatten_state, model_bytes, restore_state
from labwright.train.layouts import align_state, has_convolutions, prefers_channels_last, to_channels_last


def small_cnn() -> nn.Module:
    torch.manual_seed(0)
    return CNNArgs(channels=[4, 6], hidden_size=8).build((3, 8, 8), 5)


def is_channels_last(weight: torch.Tensor) -> bool:
    return weight.is_contiguous(memory_format=torch.channels_last) and not weight.is_contiguous()


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(7, 3, 8, 8, generator=generator), torch.randint(5, (7,), generator=generator)


def take_step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    inputs, targets = batch()
    nn.functional.cross_entropy(model(inputs), targets).backward()
    optimizer.step()
    optimizer.zero_grad()


class Viewing(nn.Sequential):
    """Many models look at what a convolution gives as if it lay in the usual order."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input).view(len(input), -1)


def test_models_that_are_known_to_be_faster_so_prefer_it() -> None:
    cpu, convolution, pooling = torch.device("cpu"), nn.Conv2d(3, 4, 3), nn.MaxPool2d(2)
    ends = (nn.ReLU(), nn.Flatten(), nn.Linear(36, 2))
    assert prefers_channels_last(small_cnn(), cpu)
    assert not prefers_channels_last(small_cnn(), torch.device("mps"))
    assert prefers_channels_last(nn.Sequential(nn.Sequential(convolution, pooling), *ends), cpu)
    for other in (
        nn.Sequential(convolution, *ends),
        nn.Sequential(convolution, nn.GroupNorm(2, 4), pooling, *ends),
        nn.Sequential(convolution, pooling),
        Viewing(convolution, pooling, *ends),
        nn.ModuleList([convolution, pooling, *ends]),
        nn.Linear(2, 2),
    ):
        assert not prefers_channels_last(other, cpu)


def test_convolutions_of_images_are_found() -> None:
    assert has_convolutions(small_cnn()) and not has_convolutions(nn.Sequential(nn.Conv1d(1, 2, 3), nn.Linear(2, 2)))


def test_outputs_and_gradients_are_the_same_up_to_rounding() -> None:
    inputs, targets = batch()
    usual, other = small_cnn(), small_cnn()
    to_channels_last(other)
    for model in (usual, other):
        nn.functional.cross_entropy(model(inputs), targets).backward()
    assert is_channels_last(other.get_parameter("body.0.weight"))
    for one, same in zip(usual.parameters(), other.parameters(), strict=True):
        assert one.grad is not None and same.grad is not None
        torch.testing.assert_close(one.grad, same.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("settings", [{"fused": True}, {"foreach": True}])
@pytest.mark.parametrize("saved_so", [True, False])
def test_state_that_was_saved_in_another_layout_goes_on_the_same(settings: dict[str, Any], saved_so: bool) -> None:
    """A fused optimizer would take the moments of one weight for those of another."""
    model, resumed = small_cnn(), small_cnn()
    to_channels_last(model if saved_so else resumed)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1, **settings)
    for _ in range(3):
        take_step(model, optimizer)
    resumed.load_state_dict(copy.deepcopy(model.state_dict()))
    other = torch.optim.Adam(resumed.parameters(), lr=0.1, **settings)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    align_state(other)
    take_step(model, optimizer)
    take_step(resumed, other)
    assert is_channels_last(resumed.get_parameter("body.0.weight")) != saved_so
    for one, same in zip(model.parameters(), resumed.parameters(), strict=True):
        torch.testing.assert_close(one, same, rtol=1e-4, atol=1e-4)


def test_checkpoint_keeps_the_layout_and_the_stored_model_has_the_usual_one() -> None:
    model = small_cnn()
    to_channels_last(model)
    weight = model.get_parameter("body.0.weight")
    [restored] = restore_state(flatten_state([weight]))
    assert is_channels_last(restored) and torch.equal(restored, weight)
    stored = load(model_bytes(model))["body.0.weight"]
    assert stored.is_contiguous() and torch.equal(stored, weight)
