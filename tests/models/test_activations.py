from typing import get_args

import pytest
import torch

from labwright.models.activations import build_activation
from labwright.models.args import Activation

EXPECTED_AT_MINUS_ONE = {"gelu": -0.15866, "identity": -1.0, "relu": 0.0, "sigmoid": 0.26894, "tanh": -0.76159}


@pytest.mark.parametrize("name", get_args(Activation))
def test_every_name_the_args_allow_is_the_function_of_that_name(name: str) -> None:
    assert build_activation(name)(torch.tensor(-1.0)).item() == pytest.approx(EXPECTED_AT_MINUS_ONE[name], abs=1e-4)
