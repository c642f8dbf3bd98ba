"""Keras on torch: `compile` and `fit` with arrays, its progress bar, its layers and its Adam. No checkpoints."""

import os

os.environ["KERAS_BACKEND"] = "torch"

import keras
from work import LEARNING_RATE, NUM_CLASSES, Clock, Epoch, Work


class Marks(keras.callbacks.Callback):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.clock = clock

    def on_epoch_begin(self, epoch: int, logs: object = None) -> None:
        self.clock.mark()

    def on_train_end(self, logs: object = None) -> None:
        self.clock.mark()


def train(work: Work, clock: Clock) -> list[Epoch]:
    keras.config.set_image_data_format("channels_first")  # as torch computes
    keras.utils.set_random_seed(0)
    inputs, targets, val_inputs, val_targets = (part.numpy() for part in work.float_sets())
    model = keras.Sequential([keras.Input((1, 28, 28)), *_layers(work.workload)])
    model.compile(
        optimizer=keras.optimizers.Adam(LEARNING_RATE),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    found = model.fit(
        inputs,
        targets,
        batch_size=work.batch_size,
        epochs=work.num_epochs,
        validation_data=(val_inputs, val_targets),
        callbacks=[Marks(clock)],
    ).history
    columns = (found[name] for name in ("loss", "accuracy", "val_loss", "val_accuracy"))
    return [Epoch(*map(float, row)) for row in zip(*columns, strict=True)]


def _layers(workload: str) -> list[keras.Layer]:
    layers = keras.layers
    if workload == "cnn":
        first = [layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)]
        second = [layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(2)]
        hidden = [*first, *second, layers.Flatten(), layers.Dense(64, activation="relu")]
    else:
        sizes = {"tiny": [64], "wide": [512, 512]}[workload]
        hidden = [layers.Flatten(), *(layers.Dense(size, activation="relu") for size in sizes)]
    return [*hidden, layers.Dense(NUM_CLASSES)]
