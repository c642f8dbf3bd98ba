import json
import subprocess
import sys
from typing import Any

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from labwright.args import Args
from labwright.schedulers import (
    ConstantArgs,
    CosineArgs,
    ExponentialArgs,
    MultiStepArgs,
    OneCycleArgs,
    PlateauArgs,
    SchedulerArgs,
    SchedulerUnion,
    StepArgs,
)

EPOCHS, STEPS_PER_EPOCH = 6, 4
STOCK: list[SchedulerArgs] = [
    ConstantArgs(),
    StepArgs(step_size=2),
    MultiStepArgs(milestones=[1, 3]),
    ExponentialArgs(),
    CosineArgs(warmup_epochs=0.5, minimum=0.1),
    OneCycleArgs(),
    PlateauArgs(patience=1),
]
LOSSES = [3.0, 2.0, 2.5, 2.5, 2.5, 1.0]


class Choice(Args):
    scheduler: SchedulerUnion = ConstantArgs()


def two_groups() -> torch.optim.Optimizer:
    """SGD with momentum over two groups, the second at ten times the rate of the first."""
    first, second = nn.Parameter(torch.zeros(1)), nn.Parameter(torch.zeros(1))
    return torch.optim.SGD([{"params": [first], "lr": 0.1}, {"params": [second], "lr": 1.0}], momentum=0.9)


def step_after_epoch(scheduler: LRScheduler, loss: float) -> None:
    if isinstance(scheduler, ReduceLROnPlateau):
        scheduler.step(loss)
    else:
        scheduler.step()


def train(optimizer: torch.optim.Optimizer, scheduler: LRScheduler, interval: str, epochs: range) -> list[list[Any]]:
    """Learning rates and momenta of the groups at every step of `epochs`, stepping as the loop does."""
    seen: list[list[Any]] = []
    for epoch in epochs:
        for _ in range(STEPS_PER_EPOCH):
            seen.append([(group["lr"], group["momentum"]) for group in optimizer.param_groups])
            optimizer.step()
            if interval == "step":
                scheduler.step()
        if interval == "epoch":
            step_after_epoch(scheduler, LOSSES[epoch])
    return seen


def kind_of(args: SchedulerArgs) -> str:
    return type(args).__name__


@pytest.mark.parametrize("args", STOCK, ids=kind_of)
def test_groups_keep_their_proportion_and_are_never_negative(args: SchedulerArgs) -> None:
    optimizer = two_groups()
    scheduler = args.build(optimizer, EPOCHS, STEPS_PER_EPOCH)
    for (first, _), (second, _) in train(optimizer, scheduler, args.interval, range(EPOCHS)):
        assert second == pytest.approx(10 * first) and first > 0


@pytest.mark.parametrize("args", STOCK, ids=kind_of)
@pytest.mark.parametrize("split_at", [0, 3])
def test_schedule_restored_from_json_goes_on_as_if_never_stopped(args: SchedulerArgs, split_at: int) -> None:
    whole = two_groups()
    expected = train(whole, args.build(whole, EPOCHS, STEPS_PER_EPOCH), args.interval, range(EPOCHS))

    stopped = two_groups()
    scheduler = args.build(stopped, EPOCHS, STEPS_PER_EPOCH)
    before = train(stopped, scheduler, args.interval, range(split_at))
    saved = json.loads(json.dumps(scheduler.state_dict()))

    resumed = two_groups()
    scheduler = args.build(resumed, EPOCHS, STEPS_PER_EPOCH)
    resumed.load_state_dict(stopped.state_dict())
    scheduler.load_state_dict(saved)
    assert before + train(resumed, scheduler, args.interval, range(split_at, EPOCHS)) == expected


def test_run_that_is_continued_for_longer_follows_the_longer_curve() -> None:
    short, long = two_groups(), two_groups()
    state = CosineArgs().build(short, 1, STEPS_PER_EPOCH).state_dict()
    scheduler = CosineArgs().build(long, 2, STEPS_PER_EPOCH)
    scheduler.load_state_dict(state)
    train(long, scheduler, "step", range(1))
    assert long.param_groups[0]["lr"] == pytest.approx(0.05)


@pytest.mark.parametrize("args", STOCK, ids=kind_of)
@pytest.mark.parametrize("epochs, steps_per_epoch", [(0, 4), (4, 0), (0, 0)])
def test_empty_run_is_built_without_an_error(args: SchedulerArgs, epochs: int, steps_per_epoch: int) -> None:
    optimizer = two_groups()
    args.build(optimizer, epochs, steps_per_epoch)
    assert all(0 <= group["lr"] <= 1 for group in optimizer.param_groups)


def test_schedules_that_follow_the_length_of_the_run_step_per_optimizer_step() -> None:
    assert {kind_of(args) for args in STOCK if args.interval == "step"} == {"CosineArgs", "OneCycleArgs"}


def test_constant_changes_nothing() -> None:
    optimizer = two_groups()
    seen = train(optimizer, ConstantArgs().build(optimizer, EPOCHS, STEPS_PER_EPOCH), "epoch", range(EPOCHS))
    assert seen == [[(0.1, 0.9), (1.0, 0.9)]] * (EPOCHS * STEPS_PER_EPOCH)


def test_exponential_multiplies_each_epoch() -> None:
    optimizer = two_groups()
    train(optimizer, ExponentialArgs(gamma=0.5).build(optimizer, 3, STEPS_PER_EPOCH), "epoch", range(3))
    assert optimizer.param_groups[1]["lr"] == 0.125


def test_warmup_may_be_a_fraction_of_an_epoch() -> None:
    optimizer = two_groups()
    args = CosineArgs(warmup_epochs=0.5)
    seen = train(optimizer, args.build(optimizer, EPOCHS, STEPS_PER_EPOCH), "step", range(1))
    assert [rates[1][0] for rates in seen[:3]] == [0.5, 1.0, 1.0]


def after(args: PlateauArgs, values: list[float], *, minimize: bool = True) -> list[float]:
    """The second group's learning rate after each of the metric's `values`."""
    optimizer = two_groups()
    scheduler = args.build(optimizer, len(values), 1, minimize=minimize)
    rates = []
    for value in values:
        scheduler.step(value)
        rates.append(optimizer.param_groups[1]["lr"])
    return rates


def test_plateau_with_patience_n_reduces_after_n_epochs_without_improvement() -> None:
    assert after(PlateauArgs(factor=0.5, patience=1), [3, 2, 2, 1]) == [1, 1, 0.5, 0.5]
    assert after(PlateauArgs(factor=0.5, patience=2), [3, 2, 2, 2, 2]) == [1, 1, 1, 0.5, 0.5]


def test_plateau_follows_a_metric_that_should_grow() -> None:
    args = PlateauArgs(factor=0.5, patience=1)
    assert after(args, [0.1, 0.2, 0.3], minimize=False) == [1, 1, 1]
    assert after(args, [0.1, 0.2, 0.3], minimize=True) == [1, 0.5, 0.25]


def test_plateau_counts_an_equal_negative_value_as_no_improvement() -> None:
    assert after(PlateauArgs(factor=0.5, patience=1), [-2, -2]) == [1, 0.5]


def test_plateau_asks_for_more_than_delta_and_stops_at_its_minimum() -> None:
    args = PlateauArgs(factor=0.5, patience=1, delta=0.5, minimum=0.4)
    assert after(args, [3, 2.6, 2.0, 1.6, 1.6]) == [1, 0.5, 0.5, 0.4, 0.4]


def test_minimum_of_a_plateau_is_a_share_of_each_group() -> None:
    optimizer = two_groups()
    scheduler = PlateauArgs(patience=1, minimum=0.5).build(optimizer, 2, 1)
    scheduler.step(1.0)
    scheduler.step(1.0)
    assert [group["lr"] for group in optimizer.param_groups] == [0.05, 0.5]


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "step", "step_size": 0},
        {"kind": "step", "gamma": 1.5},
        {"kind": "multistep", "milestones": [0]},
        {"kind": "cosine", "warmup_epochs": -1},
        {"kind": "cosine", "warmup_epochs": float("inf")},
        {"kind": "one_cycle", "rising_fraction": 1.5},
        {"kind": "plateau", "patience": 0},
        {"kind": "plateau", "gamma": 0.1},
        {"kind": "cosin"},
    ],
)
def test_impossible_settings_are_refused_with_one_error(values: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as refusal:
        Choice.model_validate({"scheduler": values})
    assert refusal.value.error_count() == 1


@pytest.mark.parametrize("args", STOCK, ids=kind_of)
def test_every_field_says_what_it_does(args: SchedulerArgs) -> None:
    assert type(args).__doc__ and "\n" not in str(type(args).__doc__)
    assert all(field.description for name, field in type(args).model_fields.items() if name != "kind")


def test_describing_a_schedule_does_not_import_torch() -> None:
    code = "import sys; from labwright.schedulers import CosineArgs; CosineArgs(); print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"
