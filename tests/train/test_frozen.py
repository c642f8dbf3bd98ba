import pytest
import torch
from torch import nn

from labwright.train import frozen


def test_generators_loss_leaves_no_gradient_in_the_critic() -> None:
    generator, critic = nn.Linear(2, 3), nn.Linear(3, 1)
    with frozen(critic):
        loss = critic(generator(torch.randn(4, 2))).mean()
    loss.backward()
    assert all(parameter.grad is None for parameter in critic.parameters())
    assert all(parameter.grad is not None for parameter in generator.parameters())


def test_every_parameter_is_as_before_even_after_an_error() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    model[0].weight.requires_grad_(False)
    before = [parameter.requires_grad for parameter in model.parameters()]
    with pytest.raises(ZeroDivisionError), frozen(model, model[1]):
        assert not any(parameter.requires_grad for parameter in model.parameters())
        raise ZeroDivisionError
    assert [parameter.requires_grad for parameter in model.parameters()] == before == [False, True, True, True]
