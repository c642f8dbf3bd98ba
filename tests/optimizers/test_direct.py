"""A fused step by the kernel alone is torch's step to the bit, and what is not ordinary is left to torch."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer

from labwright.optimizers.direct import has_direct_step, step_directly

Rates = st.floats(1e-4, 0.5)
ADAMS = st.fixed_dictionaries(
    {
        "lr": Rates,
        "betas": st.tuples(st.floats(0.0, 0.99), st.floats(0.0, 0.999)),
        "eps": st.floats(1e-10, 1e-3),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "maximize": st.booleans(),
    }
)
SGDS = st.fixed_dictionaries(
    {
        "lr": Rates,
        "momentum": st.sampled_from([0.0, 0.5, 0.9]),
        "weight_decay": st.sampled_from([0.0, 0.1]),
        "maximize": st.booleans(),
    }
) | st.fixed_dictionaries({"lr": Rates, "momentum": st.sampled_from([0.5, 0.9]), "nesterov": st.just(True)})


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.unused = nn.Linear(3, 5), nn.Linear(5, 2), nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.second(self.first(x).tanh())

    def set_gradients(self, number: int) -> None:
        self.zero_grad()
        self(torch.linspace(-1.0, 1.0 + number, 12).view(4, 3)).square().sum().backward()

    def groups(self) -> list[dict[str, Any]]:
        return [{"params": [*self.second.parameters()], "lr": 0.01}, {"params": [self.first.weight, self.first.bias]}]


def tensors_of(model: nn.Module, optimizer: Optimizer) -> list[torch.Tensor]:
    states = (optimizer.state[each] for each in model.parameters() if each in optimizer.state)
    return [*model.parameters(), *(state[name] for state in states for name in sorted(state))]


def assert_same_steps(kind: Any, settings: dict[str, Any]) -> None:
    direct, usual = Model(), Model()
    by_kernel = kind(direct.groups() + [{"params": direct.unused.parameters()}], **settings, fused=True)
    by_torch = kind(usual.groups() + [{"params": usual.unused.parameters()}], **settings, fused=True)
    for number in range(4):
        direct.set_gradients(number)
        usual.set_gradients(number)
        by_torch.step()
        if number == 0:
            by_kernel.step()  # makes the state
        else:
            assert step_directly(by_kernel)
        pairs = zip(tensors_of(direct, by_kernel), tensors_of(usual, by_torch), strict=True)
        assert all(one.dtype == other.dtype and torch.equal(one, other) for one, other in pairs)


@given(kind=st.sampled_from([Adam, AdamW]), settings=ADAMS)
def test_adam_comes_to_the_same_bits(kind: type[Optimizer], settings: dict[str, Any]) -> None:
    assert_same_steps(kind, settings)


@pytest.mark.parametrize("kind", [Adam, AdamW])
def test_adam_of_torch_2_6_comes_to_the_same_bits(kind: type[Optimizer]) -> None:
    """Its groups do not say whether the weight decay is decoupled."""
    (direct, by_kernel), (usual, by_torch) = (stepped(kind, weight_decay=0.1, fused=True) for _ in range(2))
    for group in by_kernel.param_groups:
        group.pop("decoupled_weight_decay", None)
    direct.set_gradients(2)
    usual.set_gradients(2)
    assert step_directly(by_kernel)
    by_torch.step()
    assert all(map(torch.equal, tensors_of(direct, by_kernel), tensors_of(usual, by_torch)))


@given(settings=SGDS)
def test_sgd_comes_to_the_same_bits(settings: dict[str, Any]) -> None:
    assert_same_steps(SGD, settings)


def stepped(kind: type[Optimizer], **settings: Any) -> tuple[Model, Any]:
    model = Model()
    optimizer = kind(model.parameters(), **settings)
    for number in range(2):
        model.set_gradients(number)
        optimizer.step()
    return model, optimizer


def set_sparse_gradient(model: Model, optimizer: Any) -> None:
    model.first.weight.grad = torch.ones(5, 3).to_sparse()


def set_tensor_rate(model: Model, optimizer: Any) -> None:
    optimizer.param_groups[0]["lr"] = torch.tensor(0.1)


def forget_one_state(model: Model, optimizer: Any) -> None:
    del optimizer.state[model.second.bias]


def leave_the_check_to_the_kernel(model: Model, optimizer: Any) -> None:
    optimizer.grad_scale, optimizer.found_inf = None, torch.zeros(())


def mix_types(model: Model, optimizer: Any) -> None:
    model.second.double()


def choose_another_way(model: Model, optimizer: Any) -> None:
    optimizer.param_groups[0]["fused"] = False


@pytest.mark.parametrize(
    "change",
    [
        set_sparse_gradient,
        set_tensor_rate,
        forget_one_state,
        leave_the_check_to_the_kernel,
        mix_types,
        choose_another_way,
    ],
)
@pytest.mark.parametrize(("kind", "settings"), [(Adam, {}), (SGD, {"lr": 0.1, "momentum": 0.9})])
def test_step_that_is_not_ordinary_changes_nothing(
    kind: type[Optimizer], settings: dict[str, Any], change: Callable[[Model, Any], None]
) -> None:
    model, optimizer = stepped(kind, **settings, fused=True)
    assert step_directly(optimizer)
    change(model, optimizer)
    before = copy.deepcopy(tensors_of(model, optimizer))
    assert not step_directly(optimizer)
    pairs = zip(tensors_of(model, optimizer), before, strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)


@pytest.mark.parametrize("settings", [{"amsgrad": True}, {"betas": (torch.tensor(0.9), torch.tensor(0.99))}])
def test_variants_of_adam_that_the_kernel_call_does_not_know_are_left_to_torch(settings: dict[str, Any]) -> None:
    _, optimizer = stepped(Adam, **settings, fused=True)
    assert not step_directly(optimizer)


def test_first_step_is_left_to_torch() -> None:
    model = Model()
    optimizer = Adam(model.parameters(), fused=True)
    model.set_gradients(0)
    assert not step_directly(optimizer)
    assert not optimizer.state


def test_only_torchs_own_classes_have_one() -> None:
    class OwnAdam(Adam):
        pass

    assert all(map(has_direct_step, (Adam, AdamW, SGD)))
    assert not any(map(has_direct_step, (OwnAdam, Adagrad)))
