"""What would keep the weights from being learned is told."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from labwright.schedulers import CosineArgs
from tests.points import Points
from tests.session.preflight.experiments import check_of

Make = Callable[..., Any]


def test_parameters_that_nothing_reaches_are_named(make: Make) -> None:
    class Idle(Points):
        def build_model(self) -> nn.Module:
            return nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})

        def forward(self, batch: Any) -> Any:
            return self.model.get_submodule("used")(batch["input"])

    check = check_of(make(Idle).preflight(), "gradients")
    assert (check.status, check.note) == ("warning", "no gradient reaches idle.bias, idle.weight")


def test_parameters_without_an_optimizer_are_named(make: Make) -> None:
    class Forgotten(Points):
        def build_optimizer(self) -> Any:
            return torch.optim.SGD([*self.model.parameters()][:-1], lr=0.1)

    assert "no optimizer has" in check_of(make(Forgotten).preflight(), "gradients").note


def test_schedule_is_followed_to_its_end(make: Make) -> None:
    report = make(epochs=10, scheduler=CosineArgs()).preflight()
    note = check_of(report, "schedule").note
    assert note.startswith("learning rate 0.1 at the start, 0.05 in the middle, ")


def test_schedule_that_breaks_is_a_failure(make: Make) -> None:
    class Breaking(Points):
        def build_scheduler(self, optimizer: Any, num_epochs: int, steps_per_epoch: int) -> Any:
            self.scheduler_interval = "step"
            return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=2)

    report = make(Breaking, epochs=3).preflight()
    assert any("schedule: ValueError: Tried to step" in problem for problem in report.problems)
