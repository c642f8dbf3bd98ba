"""The work that every row does: the same data, models, loss and measures, and the clock that they are timed with."""

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

NUM_CLASSES = 10
LEARNING_RATE = 1e-3
SCALE = 255.0
VAL_SHARE = 6
"""There is a validation sample for so many training samples, as in MNIST."""


class Sets(NamedTuple):
    """Images as uint8 [N, 1, 28, 28] and their classes; the second pair is validated on."""

    inputs: Tensor
    targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor


class FloatSets(NamedTuple):
    """The same with images as float32 between 0 and 1, as most loops want them."""

    inputs: Tensor
    targets: Tensor
    val_inputs: Tensor
    val_targets: Tensor


@dataclass(frozen=True)
class Work:
    """What is to be trained, on how much."""

    workload: str
    num_samples: int
    num_epochs: int

    @property
    def batch_size(self) -> int:
        return WORKLOADS[self.workload].batch_size

    def model(self) -> nn.Module:
        """A new one; the same weights each time."""
        torch.manual_seed(0)
        return WORKLOADS[self.workload].build()

    def sets(self) -> Sets:
        """Ten blurred shapes, moved about in noise, with a dark border; a tenth of the labels are drawn at random."""
        generator = torch.Generator().manual_seed(0)
        num_train = self.num_samples
        total = num_train + max(1, num_train // VAL_SHARE)
        shapes = torch.randn(NUM_CLASSES, 1, 24, 24, generator=generator)
        shapes = nn.functional.avg_pool2d(shapes, 5, stride=1).clamp(min=0) * 450
        kinds, labels = torch.randint(NUM_CLASSES, (2, total), generator=generator)
        targets = torch.where(torch.rand(total, generator=generator) < 0.1, labels, kinds)
        places = torch.randint(81, (total,), generator=generator)
        inputs = torch.zeros(total, 1, 28, 28, dtype=torch.uint8)
        for place in range(81):
            here = (places == place).nonzero().squeeze(1)
            noise = torch.randint(-150, 150, (len(here), 1, 20, 20), generator=generator)
            row, column = divmod(place, 9)
            inputs[here, :, row : row + 20, column : column + 20] = (shapes[kinds[here]] + noise).clamp(0, 255).byte()
        return Sets(inputs[:num_train], targets[:num_train], inputs[num_train:], targets[num_train:])

    def float_sets(self) -> FloatSets:
        inputs, targets, val_inputs, val_targets = self.sets()
        return FloatSets(inputs.float() / SCALE, targets, val_inputs.float() / SCALE, val_targets)


class Workload(NamedTuple):
    title: str
    batch_size: int
    build: Callable[[], nn.Module]


def _tiny() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, NUM_CLASSES))


def _wide() -> nn.Module:
    hidden = [nn.Linear(784, 512), nn.ReLU(), nn.Linear(512, 512), nn.ReLU()]
    return nn.Sequential(nn.Flatten(), *hidden, nn.Linear(512, NUM_CLASSES))


def _cnn() -> nn.Module:
    first = [nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    second = [nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *first, *second, nn.Flatten(), nn.Linear(32 * 7 * 7, 64), nn.ReLU(), nn.Linear(64, NUM_CLASSES)
    )


WORKLOADS = {
    "tiny": Workload("MLP 784-64-10, batches of 64", 64, _tiny),
    "wide": Workload("MLP 784-512-512-10, batches of 128", 128, _wide),
    "cnn": Workload("CNN 16-32-64, batches of 128", 128, _cnn),
}


@dataclass
class Clock:
    """Seconds of CPU (all threads, and children that have ended) and of the wall at each mark.

    `mark` is called as each epoch begins and once after the last: between two marks lie an epoch's training, its
    validation, and whatever the framework does at its end.
    """

    cpu: list[float] = field(default_factory=list[float])
    wall: list[float] = field(default_factory=list[float])

    def mark(self) -> None:
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        self.cpu.append(time.process_time() + children.ru_utime + children.ru_stime)
        self.wall.append(time.perf_counter())


class Epoch(NamedTuple):
    """What a row reports of an epoch, so that nobody saves the work."""

    loss: float
    accuracy: float
    val_loss: float
    val_accuracy: float
