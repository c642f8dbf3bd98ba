"""How a run's data comes to the model: wherever it lies, the run is the same."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field
from safetensors.torch import load_file

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import DigitsDataArgs
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.train.fetch import Fetch

pytestmark = pytest.mark.usefixtures("no_pictures")


class DataArgs(ExperimentArgs):
    epochs: int = 1
    limit_train_samples: int | None = 64
    model: MLPArgs = MLPArgs(hidden_sizes=[8])
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs())
    optimizer: OptimizerUnion = Field(default=AdamArgs())


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(results_dir=tmp_path / "results", use_cuda=False)


@pytest.mark.parametrize("wanted", ["auto", True, False])
def test_where_data_is_to_lie_reaches_what_puts_it_there(machine: MachineConfig, wanted: Any) -> None:
    experiment = Experiment(DataArgs(dataset=DigitsDataArgs(on_device=wanted)), machine)
    experiment.run()
    assert experiment.placement is not None and experiment.placement.on_device is wanted
    in_vain = "--dataset.on_device=true has no effect on the CPU: data is in its memory already"
    assert experiment.warnings == ([in_vain] if wanted is True else [])


def test_a_run_whose_data_lies_on_the_device_ends_with_the_same_weights(
    machine: MachineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an accelerator, the CPU stands for it: everything else goes the way that it would go."""
    here = Experiment(DataArgs(), machine).run()
    build = Fetch.__init__

    def build_there(fetch: Any, *arguments: Any) -> None:
        build(fetch, *arguments)
        fetch.lies_on = torch.device("cpu")

    monkeypatch.setattr(Fetch, "__init__", build_there)
    there = Experiment(DataArgs(), machine).run()
    one, other = (load_file(run.run_dir / "model.safetensors") for run in (here, there))
    assert all(one[name].equal(other[name]) for name in one)
    for name in ("history.jsonl", "fingerprints.bin"):
        assert (here.run_dir / name).read_bytes() == (there.run_dir / name).read_bytes()
    assert json.loads((here.run_dir / "run.json").read_text())["chosen"]["on_device"] == []
