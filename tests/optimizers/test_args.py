import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from labwright.args import Args, UserError
from labwright.optimizers import (
    AdagradArgs,
    AdamArgs,
    AdamWArgs,
    FusedOptimizerArgs,
    OptimizerArgs,
    OptimizerUnion,
    RMSpropArgs,
    SGDArgs,
)

STOCK = {
    SGDArgs: torch.optim.SGD,
    AdamArgs: torch.optim.Adam,
    AdamWArgs: torch.optim.AdamW,
    RMSpropArgs: torch.optim.RMSprop,
    AdagradArgs: torch.optim.Adagrad,
}
NOT_DEFAULT = [
    (
        SGDArgs(learning_rate=0.3, weight_decay=0.2, momentum=0.9, nesterov=True),
        {"lr": 0.3, "weight_decay": 0.2, "momentum": 0.9, "nesterov": True},
    ),
    (SGDArgs(momentum=0.9, dampening=0.5), {"momentum": 0.9, "dampening": 0.5}),
    (
        AdamArgs(learning_rate=0.3, weight_decay=0.2, betas=(0.1, 0.2), eps=1e-3, amsgrad=True),
        {"lr": 0.3, "weight_decay": 0.2, "betas": (0.1, 0.2), "eps": 1e-3, "amsgrad": True},
    ),
    (
        AdamWArgs(learning_rate=0.3, weight_decay=0.2, betas=(0.1, 0.2), eps=1e-3, amsgrad=True),
        {"lr": 0.3, "weight_decay": 0.2, "betas": (0.1, 0.2), "eps": 1e-3, "amsgrad": True},
    ),
    (
        RMSpropArgs(learning_rate=0.3, weight_decay=0.2, alpha=0.5, eps=1e-3, momentum=0.4, centered=True),
        {"lr": 0.3, "weight_decay": 0.2, "alpha": 0.5, "eps": 1e-3, "momentum": 0.4, "centered": True},
    ),
    (
        AdagradArgs(
            learning_rate=0.3, weight_decay=0.2, learning_rate_decay=0.1, initial_accumulator_value=0.5, eps=1e-3
        ),
        {"lr": 0.3, "weight_decay": 0.2, "lr_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 1e-3},
    ),
]


FUSED = [args_class for args_class in STOCK if issubclass(args_class, FusedOptimizerArgs)]


class Choice(Args):
    optimizer: OptimizerUnion = AdamArgs()


@pytest.mark.parametrize("args_class, torch_class", STOCK.items())
def test_defaults_are_those_of_torch(args_class: type[OptimizerArgs], torch_class: type) -> None:
    parameters = [nn.Parameter(torch.zeros(1))]
    built = args_class().build(parameters)
    assert type(built) is torch_class
    assert built.defaults == torch_class(parameters).defaults | ({"fused": True} if args_class in FUSED else {})


@pytest.mark.parametrize("args, expected", NOT_DEFAULT)
def test_every_setting_reaches_torch(args: OptimizerArgs, expected: dict[str, object]) -> None:
    group = args.build([nn.Parameter(torch.zeros(1))]).param_groups[0]
    assert {name: group[name] for name in expected} == expected


@pytest.mark.parametrize("args_class", STOCK)
def test_optimizer_trains_a_model_in_three_lines(args_class: type[OptimizerArgs]) -> None:
    model = nn.Linear(2, 1)
    before = model.weight.detach().clone()
    args = args_class(learning_rate=0.1, decay_norms_and_biases=False)
    optimizer = args.build(args.param_groups(model))
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    assert (model.weight < before).all()


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "sgd", "nesterov": True},
        {"kind": "sgd", "nesterov": True, "momentum": 0.9, "dampening": 0.1},
        {"kind": "sgd", "betas": (0.9, 0.999)},
        {"kind": "adam", "learning_rate": 0},
        {"kind": "adam", "learning_rate": float("inf")},
        {"kind": "adam", "weight_decay": -1},
        {"kind": "adam", "betas": (0.9, 1.0)},
        {"kind": "adam", "groups": {"head": {"learning_rat": 1}}},
        {"kind": "adam", "groups": {"head": {"freeze": True, "learning_rate": 0.1}}},
        {"kind": "adma"},
    ],
)
def test_impossible_settings_are_refused_with_one_error(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refusal:
        Choice.model_validate({"optimizer": values})
    assert refusal.value.error_count() == 1


def test_nesterov_without_momentum_says_what_it_needs() -> None:
    with pytest.raises(ValidationError, match="nesterov needs a momentum above 0 .* not momentum=0.0"):
        SGDArgs(nesterov=True)


@pytest.mark.parametrize("args_class", STOCK)
def test_every_field_says_what_it_does(args_class: type[OptimizerArgs]) -> None:
    assert args_class.__doc__ and "\n" not in args_class.__doc__
    assert all(field.description for name, field in args_class.model_fields.items() if name != "kind")


def test_describing_an_optimizer_does_not_import_torch() -> None:
    code = "import sys; from labwright.optimizers import SGDArgs; SGDArgs(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


@pytest.mark.parametrize("args_class", FUSED)
def test_a_fused_step_is_the_plain_one_but_for_rounding(args_class: type[FusedOptimizerArgs]) -> None:
    def trained(fused: bool | None) -> tuple[bool, torch.Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
        optimizer = args_class(learning_rate=0.01, weight_decay=0.1, fused=fused).build(model.parameters())
        for _ in range(20):
            optimizer.zero_grad()
            model(torch.ones(3, 4, dtype=torch.float64)).square().mean().backward()
            optimizer.step()
        return optimizer.defaults["fused"], nn.utils.parameters_to_vector(model.parameters())

    (is_fused, weights), (is_asked, same), (is_plain, plain) = trained(None), trained(True), trained(False)
    assert (is_fused, is_asked, is_plain) == (True, True, False)
    assert torch.equal(weights, same)
    torch.testing.assert_close(weights, plain, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ([nn.Parameter(torch.zeros(1, device="meta"))], "torch has no such kernel for meta"),
        ([("name", nn.Parameter(torch.zeros(1, dtype=torch.complex64)))], "torch has no such kernel for complex64"),
        (AdamArgs().param_groups(nn.Embedding(3, 2, sparse=True)), "a layer has sparse gradients"),
    ],
)
def test_what_has_no_fused_step_takes_the_plain_one_unless_it_was_asked_for(parameters: Any, problem: str) -> None:
    assert SGDArgs().build(parameters).defaults["fused"] is False
    with pytest.raises(UserError, match=f"^--optimizer.fused=true: {problem}; leave it out, or pass false$"):
        SGDArgs(fused=True).build(parameters)


def test_sparse_gradients_are_trained_on() -> None:
    model = nn.Embedding(3, 2, sparse=True)
    before = model.weight.detach().clone()
    optimizer = SGDArgs().build(SGDArgs().param_groups(model))
    model(torch.tensor([1])).sum().backward()
    optimizer.step()
    assert (model.weight != before).any(1).tolist() == [False, True, False]
