"""skorch: NeuralNetClassifier with its default callbacks and the training accuracy. No progress bar or checkpoints."""

import skorch
import torch
from skorch.callbacks import EpochScoring
from skorch.helper import predefined_split
from torch import nn
from work import LEARNING_RATE, Clock, Epoch, Work


class Marks(skorch.callbacks.Callback):
    def __init__(self, clock: Clock) -> None:
        self.clock = clock

    def on_epoch_begin(self, net: skorch.NeuralNet, **kwargs: object) -> None:
        self.clock.mark()

    def on_train_end(self, net: skorch.NeuralNet, **kwargs: object) -> None:
        self.clock.mark()


def train(work: Work, clock: Clock) -> list[Epoch]:
    inputs, targets, val_inputs, val_targets = work.float_sets()
    net = skorch.NeuralNetClassifier(
        work.model(),
        criterion=nn.CrossEntropyLoss,
        optimizer=torch.optim.Adam,
        lr=LEARNING_RATE,
        batch_size=work.batch_size,
        max_epochs=work.num_epochs,
        iterator_train__shuffle=True,
        train_split=predefined_split(skorch.dataset.Dataset(val_inputs, val_targets)),
        callbacks=[
            ("train_acc", EpochScoring("accuracy", name="train_acc", lower_is_better=False, on_train=True)),
            ("marks", Marks(clock)),
        ],
        device="cpu",
    )
    net.fit(inputs, targets)
    names = ("train_loss", "train_acc", "valid_loss", "valid_acc")
    return [Epoch(*(float(row[name]) for name in names)) for row in net.history]
