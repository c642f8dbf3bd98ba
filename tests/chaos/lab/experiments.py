"""Two small experiments on scikit-learn's digits that tell which samples each step was made of, and where to be hit.

`CHAOS_LOG` names a file outside the run: a line for every optimizer step that was applied, in every life of the run.
`CHAOS_SIGNALS="SIGTERM@training:7"` sends this process that signal at the seventh training batch of its life; several
are separated by commas. Places are start-up, training, validation, testing, saving and plotting.
"""

import json
import os
import random
import signal
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import Splits, TensorDataset
from labwright.models import CNNArgs, MLPArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.runs import unbuffered
from labwright.schedulers import CosineArgs, SchedulerUnion
from labwright.train import Batch, Loss

NUM_TRAIN, NUM_VAL, NUM_TEST = 250, 40, 40
unbuffered.BLOCK = 2**14  # these checkpoints are small, and are to be written past the cache like larger ones

_visits: Counter[str] = Counter()


def visit(place: str) -> None:
    """Send this process the signals that are due here."""
    _visits[place] += 1
    for order in filter(None, os.environ.get("CHAOS_SIGNALS", "").split(",")):
        name, _, where = order.partition("@")
        if where == f"{place}:{_visits[place]}":
            os.kill(os.getpid(), getattr(signal, name))


class MlpArgs(ExperimentArgs):
    """Digits: dropout, Adam, a cosine by steps, an average of the weights, windows of three batches."""

    epochs: int = 4
    batch_size: int = 8
    accumulate_batches: int = 3
    ema_decay: float | None = 0.9
    early_stopping_patience: int | None = 50
    best_model_metric: str = "accuracy"
    model: MLPArgs = MLPArgs(hidden_sizes=[24], dropout=0.3)
    optimizer: OptimizerUnion = AdamArgs(learning_rate=1e-2)
    scheduler: SchedulerUnion = CosineArgs()

    def build(self, machine: MachineConfig) -> "ChaosExperiment":
        return ChaosExperiment(self, machine)


class CnnArgs(ExperimentArgs):
    """Digits that are shifted, dimmed and given noise at random, each sample anew in every epoch."""

    epochs: int = 3
    batch_size: int = 16
    best_model_metric: str = "accuracy"
    model: CNNArgs = CNNArgs(channels=[4, 4], hidden_size=8, dropout=0.2)
    optimizer: OptimizerUnion = AdamArgs(learning_rate=1e-2)
    scheduler: SchedulerUnion = CosineArgs(warmup_epochs=0.5)

    def build(self, machine: MachineConfig) -> "ChaosExperiment":
        return ChaosExperiment(self, machine)


class AugmentedDigits:
    """Images that draw from every generator a dataset may draw from."""

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        self.images = images
        self.labels = labels

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> dict[str, Any]:
        across, down = torch.randint(-1, 2, (2,)).tolist()
        image = self.images[index].roll((down, across), (-2, -1)) * random.uniform(0.8, 1.2)
        noise = np.random.normal(0.0, 0.05, image.shape).astype(np.float32)
        return {"input": image + torch.from_numpy(noise), "target": self.labels[index], "index": index}


class ChaosExperiment(Experiment[ExperimentArgs]):
    """Trains as any experiment does, and writes down what it trained on."""

    def build_datasets(self) -> Splits:
        from sklearn.datasets import load_digits

        visit("start-up")
        images, labels = load_digits(return_X_y=True)
        inputs = torch.from_numpy(images).float().reshape(-1, 1, 8, 8) / 16
        targets = torch.from_numpy(labels).long()
        points = TensorDataset(inputs, targets, source="digits")
        val_end = NUM_TRAIN + NUM_VAL
        augments = isinstance(self.args, CnnArgs)
        train = (
            AugmentedDigits(inputs[:NUM_TRAIN], targets[:NUM_TRAIN]) if augments else points.subset(range(NUM_TRAIN))
        )
        return Splits(
            train={"train": train},
            val={"val": points.subset(range(NUM_TRAIN, val_end))},
            test={"test": points.subset(range(val_end, val_end + NUM_TEST))},
            name="the first of scikit-learn's digits",
            task="classification",
            num_outputs=10,
            fingerprint="0" * 64,
        )

    def on_experiment_start(self) -> None:
        self._window: list[int] = []
        self._checksum = 0
        _note({"life": os.getpid()})

    def train_batch(self, batch: Batch) -> Loss:
        visit("training")
        index, inputs = batch["index"], batch["input"]
        assert isinstance(index, Tensor) and isinstance(inputs, Tensor)
        self._window += index.tolist()
        self._checksum = zlib.crc32(inputs.numpy().tobytes(), self._checksum)
        loss = super().train_batch(batch)
        if self.stepper.closes_window:
            step = self.position.step + 1
            _note({"epoch": self.epoch, "step": step, "samples": self._window, "inputs": self._checksum})
            self._window, self._checksum = [], 0
        return loss

    def eval_batch(self, batch: Batch) -> Loss:
        if self.dataset_name in self.splits.val:
            visit("validation")
        elif self.dataset_name in self.splits.test:
            visit("testing")
        return super().eval_batch(batch)

    def checkpoint(self) -> Any:
        visit("saving")
        return super().checkpoint()

    def plot(self, run: Any, predictions: Any) -> list[Path]:
        """Nothing more than history.png: drawing would take most of a tiny run's time."""
        visit("plotting")
        return []


def _note(line: dict[str, Any]) -> None:
    """Add a line to the log, in one write: it is there or it is not."""
    path = os.environ.get("CHAOS_LOG")
    if path:
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, json.dumps(line).encode() + b"\n")
        os.close(descriptor)
