"""What the tests of augmentation run: `python augmented_lab.py FOLDER`, by itself or under torchrun."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field

from labwright import Experiment, ExperimentArgs, MachineConfig, RunOptions
from labwright.datasets import AugmentArgs, DiabetesDataArgs, DigitsDataArgs, ShapesDataArgs
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs
from labwright.train import Batch, Loss

ALL = AugmentArgs(
    crop_padding=1,
    horizontal_flip=True,
    rand_augment="medium",
    brightness=0.3,
    contrast=0.3,
    erase_size=2,
    mixup_alpha=0.3,
    cutmix_alpha=1.0,
)


class AugmentedArgs(ExperimentArgs):
    """Digits, changed."""

    epochs: int = 1
    batch_size: int = 32
    limit_train_samples: int | None = 144
    model: MLPArgs = Field(default=MLPArgs(hidden_sizes=[8]), description="The model.")
    dataset: DigitsDataArgs | DiabetesDataArgs | ShapesDataArgs = Field(default=DigitsDataArgs(), description="Data.")
    optimizer: AdamArgs = Field(default=AdamArgs(learning_rate=0.01), description="What updates the weights.")
    augment: AugmentArgs = Field(default=ALL, description="Changes of training images.")

    def build(self, machine: MachineConfig) -> "Augmented":
        return Augmented(self, machine)


class Augmented(Experiment[AugmentedArgs]):
    """In double precision; keeps what the loss was given of each sample, by epoch and index."""

    def __init__(self, args: AugmentedArgs, machine: MachineConfig) -> None:
        super().__init__(args, machine)
        self.seen: dict[tuple[str, int, int], tuple[torch.Tensor, torch.Tensor]] = {}

    def build_datasets(self) -> Any:
        splits = super().build_datasets()
        val = {name: dataset.take(40) for name, dataset in splits.val.items()}
        return replace(splits, val=val, test={})

    def build_model(self) -> Any:
        return super().build_model().double()

    def compute_loss(self, batch: Batch) -> Loss:
        both = (batch["input"].clone(), batch["target"].clone())
        for index, image, target in zip(batch["index"].tolist(), *both, strict=True):
            self.seen[self.dataset_name, self.epoch, index] = (image, target)
        return super().compute_loss(batch | {"input": batch["input"].double()})


def run(folder: Path, options: RunOptions | None = None, **args: Any) -> tuple[Augmented, Any]:
    """The experiment after its run, and what the run came to."""
    experiment = Augmented(AugmentedArgs(**args), MachineConfig(results_dir=folder, use_cuda=False))
    result = experiment.run(options or RunOptions(predictions="none", snapshot=False))
    return experiment, result


if __name__ == "__main__":
    torch.set_num_threads(1)
    print("run", run(Path(sys.argv[1]))[1].run_dir)
