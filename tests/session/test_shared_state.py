"""Runs whose ranks share out weights or optimizer state: one process comes to the same, and goes on from theirs."""

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig, RunOptions
from labwright.datasets import DigitsDataArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import CosineArgs, SchedulerUnion
from labwright.train import Batch, load_weights
from tests.train.distributed.ranks import as_torchrun_does

EPOCHS = 2
SHARDED = {"strategy": "fsdp", "sharded_checkpoints": True}
RUNS: dict[str, dict[str, Any]] = {"fsdp": {"strategy": "fsdp"}, "zero": {"strategy": "zero"}, "sharded": SHARDED}
"""The runs of two ranks, with their options."""
GO_ON: dict[str, dict[str, Any]] = {"fsdp": {"strategy": "zero"}, "zero": SHARDED, "sharded": SHARDED}
"""And those with which two ranks go on."""


class DoubleDigitsArgs(ExperimentArgs):
    """Handwritten digits in double precision."""

    epochs: int = EPOCHS
    batch_size: int = 50
    accumulate_batches: int = 2
    gradient_clipping: float | None = 0.5
    ema_decay: float | None = 0.9
    limit_train_samples: int | None = 333
    dataset: DigitsDataArgs = DigitsDataArgs()
    optimizer: OptimizerUnion = AdamArgs(learning_rate=0.01, amsgrad=True)
    scheduler: SchedulerUnion = CosineArgs()

    def build(self, machine: MachineConfig) -> "DoubleDigits":
        return DoubleDigits(self, machine)


class DoubleDigits(Experiment[DoubleDigitsArgs]):
    def build_model(self) -> nn.Module:
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 30), nn.Tanh(), nn.Linear(30, 10)).double()

    def forward(self, batch: Batch) -> Tensor:
        return self.model(batch["input"].double())


def run(folder: Path, resume: Path | None = None, epochs: int = EPOCHS, **options: Any) -> Path:
    """A run in `folder`; with `resume` more epochs of that one."""
    machine = MachineConfig(results_dir=folder, cache_dir=folder / "cache", use_cuda=False, num_workers=0)
    again = None if resume is None else str(resume)
    result = DoubleDigits(DoubleDigitsArgs(epochs=epochs), machine).run(
        RunOptions(quiet=True, snapshot=False, predictions="none", resume=again, **options)
    )
    return result.run_dir


def runs_of_two_ranks(folder: Path) -> dict[str, Path]:
    """A run of each name, kept as it was after two epochs in `folder/kept`, and gone on with on two ranks."""
    found: dict[str, Path] = {}
    for name, options in RUNS.items():
        found[name] = run(folder / name, **options)
        if os.environ["RANK"] == "0":
            shutil.copytree(folder / name, folder / "kept" / name)
    for name, options in GO_ON.items():
        run(folder / name, found[name], EPOCHS + 1, **options)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def shared(folder: Path) -> dict[str, Path]:
    """The run directories of two ranks."""
    first, second = as_torchrun_does(2, folder / "ranks", runs_of_two_ranks, folder)
    assert first == second
    return first


@pytest.fixture(scope="module")
def alone(folder: Path, shared: dict[str, Path]) -> Path:
    """One process that has done the same."""
    directory = run(folder / "alone")
    shutil.copytree(folder / "alone", folder / "kept" / "alone")
    return run(folder / "alone", directory, EPOCHS + 1)


def assert_equal_weights(ours: Path, theirs: Path) -> None:
    """Of the models that two runs ended with."""
    of_theirs = load_weights(theirs / "model.safetensors")
    for name, value in load_weights(ours / "model.safetensors").items():
        torch.testing.assert_close(value, of_theirs[name], rtol=0, atol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_two_ranks_train_as_one_process_does(name: str, folder: Path, shared: dict[str, Path], alone: Path) -> None:
    kept = folder / "kept" / "alone" / alone.relative_to(folder / "alone")
    ours = folder / "kept" / name / shared[name].relative_to(folder / name)
    assert_equal_weights(ours, kept)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNS)
def test_one_process_goes_on_from_the_checkpoint_of_two_ranks(
    name: str, folder: Path, shared: dict[str, Path], alone: Path
) -> None:
    kept = folder / "kept" / name / shared[name].relative_to(folder / name)
    assert_equal_weights(run(folder / "kept" / name, kept, EPOCHS + 1), alone)


@pytest.mark.slow
@pytest.mark.parametrize("name", GO_ON)
def test_two_ranks_go_on_whatever_the_strategy_was(name: str, shared: dict[str, Path], alone: Path) -> None:
    assert_equal_weights(shared[name], alone)


@pytest.mark.slow
def test_each_rank_has_written_a_file_of_a_sharded_checkpoint(shared: dict[str, Path]) -> None:
    checkpoints = shared["sharded"] / "checkpoints"
    folders = sorted(checkpoints.glob("*.shards"))
    index = json.loads((checkpoints / "index.json").read_text())
    assert [path.stem for path in folders] == sorted({Path(entry["file"]).stem for entry in index.values()})
    assert all(len(list(path.iterdir())) == 2 for path in folders)


@pytest.mark.slow
def test_weights_are_read_from_a_sharded_checkpoint(shared: dict[str, Path]) -> None:
    checkpoints = shared["sharded"] / "checkpoints"
    last = checkpoints / json.loads((checkpoints / "index.json").read_text())["best"]["file"]
    whole = load_weights(shared["sharded"] / "model.safetensors")
    assert all(torch.equal(value, whole[name]) for name, value in load_weights(last).items())


@pytest.mark.slow
def test_a_strategy_says_that_it_has_no_effect_with_one_rank(folder: Path) -> None:
    directory = run(folder / "lonely", epochs=0, strategy="zero")
    assert "--strategy=zero: one rank has nothing to share out" in (directory / "log.txt").read_text()
