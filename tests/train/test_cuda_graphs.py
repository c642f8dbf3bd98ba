"""Training by CUDA graphs, with a stand-in for CUDA: what decides and what surrounds the graphs."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from labwright.train.cuda_graphs import use_cuda_graphs

BATCHES = (8, 8, 8, 3)


class Replayed(torch.autograd.Function):
    """Each output is written where the one before was."""

    @staticmethod
    def forward(ctx: Any, output: Tensor, static: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        static.copy_(output)
        return static.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0], None


@pytest.fixture
def replays(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the batches that were replayed: as make_graphed_callables has it, warm-up and all."""
    sizes: list[int] = []

    def make_graphed_callables(model: nn.Module, sample: tuple[Tensor], allow_unused_input: bool = False) -> nn.Module:
        eager, [static_input] = model.forward, sample
        assert not (torch.is_autocast_enabled("cpu") and torch.is_autocast_cache_enabled())
        for _ in range(3):
            output = eager(static_input)
            torch.autograd.grad(output.sum(), list(model.parameters()), allow_unused=allow_unused_input)
        static_output = output.detach().clone()

        def replay(x: Tensor) -> Tensor:
            if not model.training:
                return eager(x)
            assert x.shape == static_input.shape
            static_input.copy_(x)
            sizes.append(len(x))
            return Replayed.apply(eager(static_input), static_output)  # pyright: ignore[reportReturnType]

        model.forward = replay
        return model

    monkeypatch.setattr("torch.cuda.make_graphed_callables", make_graphed_callables)
    return sizes


def small_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 16), nn.BatchNorm1d(16), nn.Dropout(0.5), nn.Linear(16, 2))


def trained(model: nn.Module, precision: torch.dtype | None = None) -> tuple[list[Tensor], list[Tensor]]:
    """The weights and buffers after some steps, and all outputs on the way."""
    outputs, optimizer = [], torch.optim.SGD(model.parameters(), lr=0.1)
    generator = torch.Generator().manual_seed(1)
    torch.manual_seed(2)
    for size in BATCHES:
        with torch.autocast("cpu", precision, enabled=precision is not None):
            output = model(torch.randn(size, 4, generator=generator))
        outputs.append(output.detach())
        output.float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.inference_mode():
        outputs.append(model(torch.ones(8, 4)))
    return [*model.state_dict().values()], outputs


def test_full_batches_are_replayed_and_everything_comes_out_as_without(replays: list[int]) -> None:
    """A capture's warm-up moves running statistics and random numbers, and a replay writes over its last output."""
    expected = trained(small_model())
    model = small_model()
    use_cuda_graphs(model, batch_size=8)
    state, outputs = trained(model)
    assert replays == [8, 8, 8]
    for one, other in zip([*expected[0], *expected[1]], [*state, *outputs], strict=True):
        assert torch.equal(one, other)


def test_short_first_batch_is_not_what_graphs_are_made_of(replays: list[int]) -> None:
    model = small_model()
    use_cuda_graphs(model, batch_size=8)
    for size in (3, 8, 3, 8):
        model(torch.randn(size, 4))
    assert replays == [8, 8]


def test_input_of_another_type_or_shape_runs_as_ever(replays: list[int]) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    use_cuda_graphs(model, batch_size=8)
    for shape in ((8, 4), (8, 2, 2), (8, 4)):
        assert model(torch.randn(shape)).shape == (8, 2)
    assert model(torch.randn(8, 4, requires_grad=True)).requires_grad
    assert replays == [8, 8]


def test_mixed_precision_is_captured_with_its_cache_off(replays: list[int]) -> None:
    model = small_model()
    use_cuda_graphs(model, batch_size=8)
    _, outputs = trained(model, torch.bfloat16)
    assert replays == [8, 8, 8] and outputs[0].dtype == torch.bfloat16


def test_names_of_weights_stay(replays: list[int]) -> None:
    model = small_model()
    use_cuda_graphs(model, batch_size=8)
    model(torch.randn(8, 4))
    assert model.state_dict().keys() == small_model().state_dict().keys()
