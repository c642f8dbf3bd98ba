"""How a run's data comes to the model: where it lies, and how training images are changed on the way."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field
from safetensors.torch import load_file

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig, UserError
from labwright.datasets import DiabetesDataArgs, DigitsDataArgs, Splits
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.train import AugmentArgs, Batch, Loss, loaders

pytestmark = pytest.mark.usefixtures("no_pictures")


class ChangedArgs(ExperimentArgs):
    epochs: int = 1
    limit_train_samples: int | None = 64
    model: MLPArgs = MLPArgs(hidden_sizes=[8])
    dataset: DigitsDataArgs | DiabetesDataArgs = Field(default=DigitsDataArgs())
    optimizer: OptimizerUnion = Field(default=AdamArgs())
    augment: AugmentArgs = AugmentArgs()


class Watched(Experiment[ChangedArgs]):
    """Keeps the inputs of each loss."""

    inputs: dict[str, list[torch.Tensor]]

    def compute_loss(self, batch: Batch) -> Loss:
        self.inputs.setdefault(self.dataset_name, []).append(batch["input"].clone())
        return super().compute_loss(batch)


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(results_dir=tmp_path / "results", use_cuda=False)


def inputs_of(machine: MachineConfig, **args: Any) -> dict[str, torch.Tensor]:
    experiment = Watched(ChangedArgs(**args), machine)
    experiment.inputs = {}
    experiment.run()
    return {name: torch.cat(batches) for name, batches in experiment.inputs.items()}


def test_training_images_are_changed_as_the_args_say_and_no_others(machine: MachineConfig) -> None:
    augment = AugmentArgs(crop_padding=1, horizontal_flip=True, erase_size=2)
    plain, changed, again = inputs_of(machine), inputs_of(machine, augment=augment), inputs_of(machine, augment=augment)
    assert not changed["train"].equal(plain["train"]) and changed["train"].equal(again["train"])
    assert all(changed[name].equal(plain[name]) for name in ("val", "test"))


def test_changes_of_ones_own_need_no_args(machine: MachineConfig) -> None:
    class Inverted(Experiment[ChangedArgs]):
        def augment_batch(self, batch: Batch) -> Batch:
            assert self.is_training
            raise UserError("seen")

    with pytest.raises(UserError, match="seen"):
        Inverted(ChangedArgs(), machine).run()


def test_what_is_no_image_and_targets_that_would_stay_behind_are_refused(machine: MachineConfig) -> None:
    flipped = AugmentArgs(horizontal_flip=True)
    with pytest.raises(
        UserError, match=r"--augment changes images \[channels, height, width\]; the inputs of .* \[10\]"
    ):
        Experiment(ChangedArgs(dataset=DiabetesDataArgs(), augment=flipped), machine).run()

    class Masks(Experiment[ChangedArgs]):
        def build_datasets(self) -> Splits:
            return replace(super().build_datasets(), task="segmentation")

    with pytest.raises(UserError, match="--augment moves the input alone"):
        Masks(ChangedArgs(augment=flipped), machine).run()


def test_a_run_whose_data_lies_on_the_device_ends_with_the_same_weights(
    machine: MachineConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without an accelerator, the CPU stands for it: everything else goes the way that it would go."""
    here = Experiment(ChangedArgs(), machine).run()
    build = loaders._Fetch.__init__

    def build_there(fetch: Any, *arguments: Any) -> None:
        build(fetch, *arguments)
        fetch.lies_on = torch.device("cpu")

    monkeypatch.setattr(loaders._Fetch, "__init__", build_there)
    there = Experiment(ChangedArgs(), machine).run()
    one, other = (load_file(run.run_dir / "model.safetensors") for run in (here, there))
    assert all(one[name].equal(other[name]) for name in one)
    for name in ("history.jsonl", "fingerprints.bin"):
        assert (here.run_dir / name).read_bytes() == (there.run_dir / name).read_bytes()
    assert json.loads((here.run_dir / "run.json").read_text())["chosen"]["on_device"] == []
