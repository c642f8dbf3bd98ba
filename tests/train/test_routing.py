"""What a criterion is handed, and what is said where it cannot be."""

import functools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from labwright.args import UserError
from labwright.train import RoutedForward
from labwright.train.routing import call_by_name

BATCH = {"input": torch.tensor([1.0, 3.0]), "target": torch.tensor([0.0, 0.0]), "index": torch.tensor([0, 1])}


def test_function_gets_what_its_arguments_name() -> None:
    assert call_by_name(lambda target, input, scale=2: [target, input, scale], BATCH) == [
        BATCH["target"],
        BATCH["input"],
        2,
    ]


def test_function_that_takes_anything_gets_all() -> None:
    assert call_by_name(lambda input, **others: [*others], BATCH) == ["target", "index"]


def test_module_gets_what_its_forward_names() -> None:
    assert call_by_name(nn.MSELoss(), BATCH) == 5


def test_hooks_of_a_module_are_called() -> None:
    criterion, heard = nn.MSELoss(), list[Any]()
    criterion.register_forward_hook(lambda *args: heard.append(args))
    call_by_name(criterion, BATCH)
    assert len(heard) == 1


@pytest.mark.parametrize("criterion", [F.mse_loss, nn.MSELoss()], ids=["function", "module"])
def test_what_a_partial_was_given_stays(criterion: Callable[..., Tensor]) -> None:
    assert call_by_name(functools.partial(criterion, target=torch.ones(2)), BATCH) == 2


def own(prediction: Tensor, target: Tensor) -> Tensor:
    return prediction - target


class Own(nn.Module):
    def forward(self, prediction: Tensor, **others: Tensor) -> Tensor:
        return prediction


@pytest.mark.parametrize(
    ("criterion", "name"),
    [
        (own, "own"),
        (functools.partial(own, target=torch.ones(2)), "own"),
        (Own(), "Own"),
        (functools.partial(Own(), target=torch.ones(2)), "Own"),
    ],
    ids=["function", "partial", "module", "partial of a module"],
)
def test_missing_value_is_named_with_its_like(criterion: Callable[..., Any], name: str) -> None:
    with pytest.raises(UserError, match=f"^{name} asks for 'prediction'.*; did you mean 'predictions'"):
        call_by_name(criterion, {"predictions": 1, **BATCH})


@pytest.mark.parametrize("criterion", [max, math.dist, torch.dist, len, lambda a, /: a, 3])
def test_what_has_no_names_is_refused(criterion: Any) -> None:
    with pytest.raises(UserError, match="has no named arguments to call it by; wrap it in a function"):
        call_by_name(criterion, BATCH)


def test_criterion_of_an_experiment_may_be_a_module() -> None:
    class Mean(RoutedForward):
        criterion = nn.MSELoss()

        def forward(self, batch: Any) -> Any:
            return {"input": batch["input"] + 1}

    loss = Mean().compute_loss(BATCH)
    assert loss.value == 10 and loss.weight == 2 and [*loss.outputs] == ["input"]
