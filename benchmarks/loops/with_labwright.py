"""labwright with every default: progress, history, a checkpoint after each epoch, metrics, plots. A real run."""

import sys
from pathlib import Path

from torch import nn
from work import LEARNING_RATE, NUM_CLASSES, SCALE, Clock, Epoch, Work

from labwright import Experiment, ExperimentArgs, MachineConfig
from labwright.datasets import Splits, TensorDataset
from labwright.optimizers import AdamArgs
from labwright.runs.terminal import Terminal


class BenchmarkArgs(ExperimentArgs):
    """Shapes in noise."""

    optimizer: AdamArgs = AdamArgs(learning_rate=LEARNING_RATE)


class Benchmark(Experiment[BenchmarkArgs]):
    work: Work
    clock: Clock

    def build_datasets(self) -> Splits:
        inputs, targets, val_inputs, val_targets = self.work.sets()
        return Splits(
            train={"train": TensorDataset(inputs, targets, source="shapes/train", std=SCALE)},
            val={"val": TensorDataset(val_inputs, val_targets, source="shapes/val", std=SCALE)},
            name="shapes in noise",
            task="classification",
            num_outputs=NUM_CLASSES,
            is_image=True,
        )

    def build_model(self) -> nn.Module:
        return self.work.model()

    def on_epoch_start(self) -> None:
        self.clock.mark()

    def train(self) -> None:
        super().train()
        self.clock.mark()


def train(work: Work, clock: Clock) -> list[Epoch]:
    args = BenchmarkArgs(epochs=work.num_epochs, batch_size=work.batch_size)
    experiment = Benchmark(args, MachineConfig(results_dir=Path("results"), use_cuda=False))
    experiment.work, experiment.clock = work, clock
    experiment.run(terminal=Terminal(sys.stderr))
    rows = {(row["epoch"], row["split"]): row["metrics"] for row in experiment.recorder.history.rows}
    epochs = []
    for epoch in range(1, work.num_epochs + 1):
        training, val = rows[epoch, "train"], rows[epoch, "val"]
        epochs.append(Epoch(training["loss"], training["accuracy"], val["loss"], val["accuracy"]))
    return epochs
