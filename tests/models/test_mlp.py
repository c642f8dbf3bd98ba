from itertools import product
from typing import get_args

import pytest
import torch
from torch import nn

from labwright.models import MLP, MLPArgs
from labwright.models.args import Activation

COMBINATIONS = list(product(get_args(Activation), [False, True], [0.0, 0.5]))


def test_no_hidden_layers_is_a_linear_model() -> None:
    model = MLPArgs(hidden_sizes=[]).build((3,), 2)
    x = torch.randn(5, 3)
    torch.testing.assert_close(model(x), x @ model.head.weight.T + model.head.bias)


@pytest.mark.parametrize("activation, batch_norm, dropout", COMBINATIONS)
def test_every_combination_gives_one_row_per_sample(activation: Activation, batch_norm: bool, dropout: float) -> None:
    args = MLPArgs(hidden_sizes=[8, 4], activation=activation, batch_norm=batch_norm, dropout=dropout)
    assert args.build((1, 6, 6), 10)(torch.randn(7, 1, 6, 6)).shape == (7, 10)


def test_layers_come_in_the_order_linear_norm_activation_dropout() -> None:
    model = MLP(4, [3], 2, activation="tanh", batch_norm=True, dropout=0.5)
    assert [type(layer) for layer in model.body] == [nn.Flatten, nn.Linear, nn.BatchNorm1d, nn.Tanh, nn.Dropout]


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = MLP(4, [64], 2, dropout=0.5)
    x = torch.randn(3, 4)
    assert not torch.equal(model(x), model(x))
    model.eval()
    assert torch.equal(model(x), model(x))


def test_exported_model_gives_the_same_output_for_any_batch_size() -> None:
    model = MLPArgs(hidden_sizes=[8], batch_norm=True, dropout=0.1).build((1, 4, 4), 3).eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model, (torch.randn(4, 1, 4, 4),), dynamic_shapes=({0: batch},)).module()
    x = torch.randn(9, 1, 4, 4)
    torch.testing.assert_close(exported(x), model(x))
