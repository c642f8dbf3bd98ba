import json

import pytest
import torch
from torch import nn

from labwright.schedulers import OneCycleArgs


def run(optimizer: torch.optim.Optimizer, name: str, args: OneCycleArgs) -> list[float]:
    """The value of `name` in the first group at each of 10 steps and after them."""
    scheduler = args.build(optimizer, 2, 5)
    values = []
    for _ in range(10):
        values.append(optimizer.param_groups[0][name])
        optimizer.step()
        scheduler.step()
    return [*values, optimizer.param_groups[0][name]]


def parameters() -> list[nn.Parameter]:
    return [nn.Parameter(torch.zeros(1))]


def test_momentum_goes_down_while_the_learning_rate_goes_up() -> None:
    args = OneCycleArgs(rising_fraction=0.5)
    momenta = run(torch.optim.SGD(parameters(), lr=0.1, momentum=0.9), "momentum", args)
    assert (momenta[0], momenta[5], momenta[10]) == pytest.approx((0.95, 0.85, 0.95))
    assert momenta[:6] == sorted(momenta[:6], reverse=True)


def test_first_beta_cycles_and_the_second_stays() -> None:
    betas = run(torch.optim.Adam(parameters(), betas=(0.9, 0.99)), "betas", OneCycleArgs(rising_fraction=0.5))
    assert betas[5] == (pytest.approx(0.85), 0.99)


def test_momentum_of_zero_stays_off() -> None:
    assert set(run(torch.optim.SGD(parameters(), lr=0.1), "momentum", OneCycleArgs())) == {0}


def test_optimizer_without_momentum_cycles_its_learning_rate() -> None:
    rates = run(torch.optim.Adagrad(parameters(), lr=0.5), "lr", OneCycleArgs(rising_fraction=0.5))
    assert rates[5] == pytest.approx(0.5) and rates[10] == pytest.approx(0.5 / 250_000)


def test_momentum_stays_when_it_is_not_to_cycle() -> None:
    optimizer = torch.optim.SGD(parameters(), lr=0.1, momentum=0.9)
    assert set(run(optimizer, "momentum", OneCycleArgs(cycle_momentum=False))) == {0.9}


def test_state_is_plain_numbers() -> None:
    scheduler = OneCycleArgs().build(torch.optim.Adam(parameters()), 2, 5)
    assert json.loads(json.dumps(scheduler.state_dict())) == scheduler.state_dict()
