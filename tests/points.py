"""The smallest experiment that trains: points on a plane, left or right of a line."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import Splits, TensorDataset
from labwright.models import MLPArgs, ModelUnion
from labwright.optimizers import OptimizerUnion, SGDArgs
from labwright.schedulers import ConstantArgs, SchedulerUnion


class PointsArgs(ExperimentArgs):
    """Points on a plane."""

    epochs: int = 2
    model: ModelUnion = MLPArgs(hidden_sizes=[4])
    optimizer: OptimizerUnion = SGDArgs(learning_rate=0.1)
    scheduler: SchedulerUnion = ConstantArgs()

    def build(self, machine: MachineConfig) -> "Points":
        return Points(self, machine)


class Points(Experiment[PointsArgs]):
    """Tells points on the left of a line from those on its right."""

    def build_datasets(self) -> Splits:
        inputs = torch.randn(100, 2, generator=torch.Generator().manual_seed(0))
        points = TensorDataset(inputs, (inputs.sum(dim=1) > 0).long(), source="points")
        return Splits(
            train={"train": points.subset(range(60))},
            val={"val": points.subset(range(60, 80))},
            test={"test": points.subset(range(80, 100))},
            name="points on a plane",
            task="classification",
            num_outputs=2,
            fingerprint="0" * 64,
        )


@pytest.fixture
def points() -> type[Points]:
    """The experiment, to subclass."""
    return Points


@pytest.fixture
def points_args() -> type[PointsArgs]:
    return PointsArgs


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    """An experiment on points, in `tmp_path`: `make(epochs=3)`, or `make(Subclass, epochs=3)`."""

    def make(kind: type[Points] = Points, **fields: Any) -> Points:
        return kind(PointsArgs(**fields), MachineConfig(results_dir=tmp_path / "results", use_cuda=False))

    return make
