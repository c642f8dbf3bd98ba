"""An optimizer that is shared out takes the steps of the whole one."""

from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adagrad, Adam, AdamW, Optimizer, RMSprop
from torch.optim.lr_scheduler import StepLR

from labwright.args import UserError
from labwright.train.distributed.zero import load_optimizer_state, optimizer_state, share_out
from tests.train.distributed.ranks import on_ranks

NUM_STEPS = 3


class Renaming(SGD):
    """Takes its momentum under another name than torch keeps it."""

    def __init__(self, params: Any, lr: float = 0.1, inertia: float = 0.0) -> None:
        super().__init__(params, lr=lr, momentum=inertia)


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1)).double()


def optimizers(model: nn.Module) -> dict[str, Optimizer]:
    """Of each class one, with settings of their own for the last layer."""
    groups = [{"params": list(model[0].parameters()), "lr": 0.02}, {"params": list(model[2].parameters())}]
    return {
        "sgd": SGD(groups, lr=0.01, momentum=0.9),
        "adam": Adam(groups, lr=0.01, betas=(0.8, 0.9), fused=True),
        "adamw": AdamW(groups, lr=0.01, weight_decay=0.1, amsgrad=True),
        "rmsprop": RMSprop(groups, lr=0.01, alpha=0.9, centered=True),
        "adagrad": Adagrad(groups, lr=0.01, initial_accumulator_value=0.1),
    }


def train(model: nn.Module, optimizer: Optimizer, num_steps: int = NUM_STEPS) -> None:
    scheduler = StepLR(optimizer, step_size=1, gamma=0.5)
    for step in range(num_steps):
        inputs = torch.randn(6, 5, generator=torch.Generator().manual_seed(step)).double()
        model(inputs).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        scheduler.step()


def train_shared_out(whole_states: dict[str, Any]) -> dict[str, Any]:
    """On each rank: the weights and the state that each optimizer leads to, alone and from a whole one's state."""
    found: dict[str, Any] = {"refusal": refusal()}
    for name in whole_states:
        shared = model()
        optimizer = share_out(optimizers(shared)[name])
        train(shared, optimizer)
        num_here = len(optimizer.optim.state)
        state = deepcopy(optimizer_state(optimizer))
        resumed = model()
        optimizer = share_out(optimizers(resumed)[name])
        load_optimizer_state(optimizer, whole_states[name])
        train(resumed, optimizer, 1)
        found[name] = {"model": shared.state_dict(), "state": state, "resumed": resumed.state_dict(), "here": num_here}
    return found


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """What each optimizer leads to in one process: the weights, its state, and the weights a resumed step later."""
    found: dict[str, Any] = {}
    for name in optimizers(model()):
        alone, resumed = model(), model()
        optimizer = optimizers(alone)[name]
        train(alone, optimizer)
        state = deepcopy(optimizer.state_dict())
        again = optimizers(resumed)[name]
        again.load_state_dict(deepcopy(state))
        train(resumed, again, 1)
        found[name] = {"model": alone.state_dict(), "state": state, "resumed": resumed.state_dict()}
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory, whole: dict[str, Any]) -> list[dict[str, Any]]:
    states = {name: values["state"] for name, values in whole.items()}
    return on_ranks(2, tmp_path_factory.mktemp("ranks"), train_shared_out, states)


@pytest.mark.slow
def test_shared_out_optimizers_take_the_steps_of_whole_ones(ranks: list[dict[str, Any]], whole: dict[str, Any]) -> None:
    for rank in ranks:
        for name, values in whole.items():
            assert_equal(rank[name]["model"], values["model"])
            assert 0 < rank[name]["here"] < 4


@pytest.mark.slow
def test_the_state_of_a_shared_out_optimizer_is_that_of_a_whole_one(
    ranks: list[dict[str, Any]], whole: dict[str, Any]
) -> None:
    for name, values in whole.items():
        state = ranks[0][name]["state"]
        assert state["param_groups"] == values["state"]["param_groups"]
        for index, of_one in values["state"]["state"].items():
            assert_equal(state["state"][index], of_one)
        assert ranks[1][name]["state"] == {}


@pytest.mark.slow
def test_a_shared_out_optimizer_goes_on_from_the_state_of_a_whole_one(
    ranks: list[dict[str, Any]], whole: dict[str, Any]
) -> None:
    for rank in ranks:
        for name, values in whole.items():
            assert_equal(rank[name]["resumed"], values["resumed"])


def assert_equal(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert torch.equal(ours[name], value) if isinstance(value, torch.Tensor) else ours[name] == value


def refusal() -> str:
    """What is said of an optimizer whose constructor takes other names."""
    try:
        share_out(Renaming(model().parameters(), inertia=0.5))
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.slow
def test_an_optimizer_that_cannot_be_made_of_its_settings_is_refused(ranks: list[dict[str, Any]]) -> None:
    expected = (
        "--strategy=zero cannot make a Renaming of each rank's parameters: its constructor does not take momentum"
    )
    assert [rank["refusal"] for rank in ranks] == [expected] * 2
