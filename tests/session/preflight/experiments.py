"""Experiments that a preflight has something to say of."""

import random
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from labwright.args import ExperimentArgs
from labwright.bare import BareExperiment
from labwright.datasets import Splits
from labwright.session import Preflight
from labwright.session.preflight import Check
from tests.points import Points


class Forgetful(Points):
    """Scales its inputs by a generator of its own, which no checkpoint knows of."""

    def build_parts(self) -> None:
        super().build_parts()
        self.generator = torch.Generator().manual_seed(1)

    def prepare_batch(self, batch: Any, *, training: bool) -> Any:
        if training:
            batch = {**batch, "input": batch["input"] * torch.rand((), generator=self.generator)}
        return super().prepare_batch(batch, training=training)


class Drawing(Points):
    """Adds noise of generators that it was made with, and that nothing makes anew."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.generators = [np.random.default_rng(1), random.Random(1), torch.Generator().manual_seed(1)]
        self.noise, self.drift = torch.zeros(2), np.zeros(2)

    def prepare_batch(self, batch: Any, *, training: bool) -> Any:
        batch = super().prepare_batch(batch, training=training)
        if not training:
            return batch
        numpy, python, generator = self.generators
        self.noise += torch.rand(2, generator=generator) + python.random()
        self.drift += numpy.random(2)
        return {**batch, "input": batch["input"] + self.noise + torch.from_numpy(self.drift).float()}


class Counting(Points):
    """Its model counts its calls, outside of any state, and does less with each."""

    def build_model(self) -> nn.Module:
        class Tiring(nn.Linear):
            calls = 0

            def forward(self, input: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                return super().forward(input) / self.calls

        return Tiring(2, 2)


class Exploding(Points):
    def compute_loss(self, batch: Any) -> Any:
        loss = super().compute_loss(batch)
        return loss._replace(value=loss.value * float("inf"))


class Unsaveable(Points):
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"generator": random.Random(0)}


class Wordless(BareExperiment[ExperimentArgs]):
    """Counts batches, in a way of its own."""

    def build_datasets(self) -> Splits:
        return Splits(train={"train": [{"input": 1}]}, val={"val": [{"input": 2}]}, test={}, name="one")

    def state_dict(self) -> dict[str, Any]:
        return {"count": np.arange(3)}


def check_of(report: Preflight, name: str) -> Check:
    [check] = [check for check in report.checks if check.name == name]
    return check


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 0, 100))
