"""Optimizers that leave `torch._dynamo` alone are torch's own in all else."""

import copy
import pickle
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from labwright.optimizers.light import build_light

KINDS: dict[str, tuple[type[torch.optim.Optimizer], dict[str, Any]]] = {
    "sgd": (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "nesterov": True}),
    "adam": (torch.optim.Adam, {"amsgrad": True}),
    "adam_fused": (torch.optim.Adam, {"fused": True}),
    "adamw_fused": (torch.optim.AdamW, {"fused": True, "weight_decay": 0.1}),
    "sgd_fused": (torch.optim.SGD, {"fused": True, "lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    "adam_foreach": (torch.optim.Adam, {"foreach": True}),
    "adamw": (torch.optim.AdamW, {"weight_decay": 0.1}),
    "rmsprop": (torch.optim.RMSprop, {"momentum": 0.5, "centered": True}),
    "adagrad": (torch.optim.Adagrad, {"lr_decay": 0.1}),
}
IN_A_NEW_PROCESS = """
import sys, torch
from torch import nn
from labwright.optimizers import AdagradArgs, AdamArgs, AdamWArgs, RMSpropArgs, SGDArgs
for args in (SGDArgs(momentum=0.9), AdamArgs(), AdamArgs(fused=False), AdamWArgs(), RMSpropArgs(), AdagradArgs()):
    model = nn.Linear(2, 1)
    optimizer = args.build(args.param_groups(model))
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 3)
    for _ in range(2):
        model(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
print([name for name in ("torch._dynamo", "torch._inductor", "sympy") if name in sys.modules])
"""


def model_of(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2))


def train(model: nn.Module, optimizer: torch.optim.Optimizer, num_steps: int = 3, scheduler: Any = None) -> None:
    for number in range(num_steps):
        optimizer.zero_grad()
        model(torch.full((2, 3), float(number + 1))).square().sum().backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()


def assert_equal_state(one: Any, other: Any) -> None:
    if isinstance(one, torch.Tensor):
        assert one.dtype == other.dtype and torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for key in one:
            assert_equal_state(one[key], other[key])
    else:
        assert one == other


@pytest.mark.parametrize("name", KINDS)
def test_steps_schedule_and_state_are_those_of_torch_to_the_bit(name: str) -> None:
    kind, settings = KINDS[name]
    models = [model_of(), model_of()]
    light = build_light(kind, models[0].parameters(), **settings)
    usual = kind(models[1].parameters(), **settings)
    assert type(light) is kind
    assert str(light) == str(usual)
    for model, optimizer in zip(models, (light, usual), strict=True):
        train(model, optimizer, scheduler=torch.optim.lr_scheduler.StepLR(optimizer, 1, gamma=0.5))
    assert_equal_state(dict(models[0].named_parameters()), dict(models[1].named_parameters()))
    assert_equal_state(light.state_dict(), usual.state_dict())


@pytest.mark.parametrize("carry", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_copy_and_pickle_carry_the_state_of_the_same_class(carry: Any) -> None:
    model = model_of()
    light = build_light(torch.optim.Adam, model.parameters())
    train(model, light)
    carried = carry(light)
    assert type(carried) is torch.optim.Adam
    assert_equal_state(carried.state_dict(), light.state_dict())


def test_state_goes_from_one_kind_of_building_to_the_other() -> None:
    models = [model_of(), model_of()]
    light = build_light(torch.optim.AdamW, models[0].parameters())
    usual = torch.optim.AdamW(models[1].parameters())
    train(models[1], usual)
    models[0].load_state_dict(models[1].state_dict())
    light.load_state_dict(copy.deepcopy(usual.state_dict()))
    train(models[0], light)
    train(models[1], usual)
    assert_equal_state(dict(models[0].named_parameters()), dict(models[1].named_parameters()))


def test_groups_hooks_and_closures_work() -> None:
    model, told = model_of(), []
    light = build_light(torch.optim.SGD, [{"params": [*model.parameters()][:2], "lr": 0.5}], lr=0.1)
    light.add_param_group({"params": [*model.parameters()][2:]})
    light.register_step_pre_hook(lambda optimizer, args, kwargs: told.append(("before", optimizer)))
    light.register_step_post_hook(lambda optimizer, args, kwargs: told.append(("after", optimizer)))
    light.register_state_dict_post_hook(lambda optimizer, state: told.append(("state", optimizer)))

    def loss() -> torch.Tensor:
        light.zero_grad()
        value = model(torch.ones(1, 3)).sum()
        value.backward()
        return value

    assert light.step(loss).requires_grad  # type: ignore[reportOptionalMemberAccess]
    light.state_dict()
    assert [group["lr"] for group in light.param_groups] == [0.5, 0.1]
    assert told == [("before", light), ("after", light), ("state", light)]


@pytest.mark.parametrize(
    "register",
    [
        torch.optim.Optimizer.register_step_pre_hook,
        torch.optim.Optimizer.register_step_post_hook,
        lambda _, hook: register_optimizer_step_pre_hook(hook),
        lambda _, hook: register_optimizer_step_post_hook(hook),
    ],
)
def test_a_hook_alone_is_called(register: Any) -> None:
    optimizer = build_light(torch.optim.SGD, nn.Linear(2, 1).parameters(), lr=0.1)
    told: list[Any] = []
    handle = register(optimizer, lambda *arguments: told.append(arguments[0]))
    try:
        optimizer.step()
    finally:
        handle.remove()
    optimizer.step()
    assert told == [optimizer]


def test_hooks_of_all_optimizers_are_called() -> None:
    optimizer = build_light(torch.optim.Adam, nn.Linear(2, 1).parameters(), fused=True)
    told: list[str] = []
    before = register_optimizer_step_pre_hook(lambda *_: told.append("before"))
    after = register_optimizer_step_post_hook(lambda *_: told.append("after"))
    try:
        optimizer.step()
    finally:
        before.remove()
        after.remove()
    optimizer.step()
    assert told == ["before", "after"]


@pytest.mark.parametrize("build", [build_light, lambda kind, *args, **settings: kind(*args, **settings)])
def test_hooks_are_told_how_the_step_was_called(build: Any) -> None:
    """A step without a closure was shown to them as one with the closure None."""
    optimizer = build(torch.optim.SGD, nn.Linear(2, 1).parameters(), lr=0.1)
    told: list[Any] = []
    optimizer.register_step_pre_hook(lambda _, args, kwargs: told.append((args[1:], list(kwargs))))
    optimizer.step()
    optimizer.step(lambda: 1.0)
    optimizer.step(closure=lambda: 1.0)
    assert told[0] == ((), []) and len(told[1][0]) == 1 and told[2] == ((), ["closure"])


def test_profiler_shows_the_step_by_its_usual_name() -> None:
    model = model_of()
    light = build_light(torch.optim.SGD, model.parameters(), lr=0.1)
    with torch.profiler.profile() as profile:
        train(model, light, num_steps=1)
    assert "Optimizer.step#SGD.step" in {event.key for event in profile.key_averages()}


def test_bad_settings_are_refused_as_torch_refuses_them() -> None:
    with pytest.raises(ValueError, match="Invalid learning rate"):
        build_light(torch.optim.SGD, model_of().parameters(), lr=-1.0)
    with pytest.raises(ValueError, match="empty parameter list"):
        build_light(torch.optim.SGD, [], lr=0.1)


def test_torch_without_the_marks_builds_its_optimizers_the_usual_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.optim.SGD, "zero_grad", lambda self: None)
    light = build_light(torch.optim.SGD, model_of().parameters(), lr=0.1)
    assert not {"step", "zero_grad", "state_dict"} & vars(light).keys()


@pytest.mark.slow
def test_stock_optimizers_train_without_importing_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", IN_A_NEW_PROCESS], capture_output=True, text=True, timeout=600)
    assert done.stdout == "[]\n", done.stderr
