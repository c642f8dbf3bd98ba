"""How the jax_mlp experiment runs: NumPy batches in, one compiled function per step, the same loop around it."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np
from sklearn.datasets import load_digits

from labwright import BareExperiment
from labwright.args import UserError
from labwright.args.wording import listed
from labwright.datasets import Splits, fingerprint, hold_out, limit, split_indices
from labwright.runs import RunDirectory, encode_arrays, resolve_checkpoint, write_durably
from labwright.session import Predictions, plot_predictions

from ..class_predictions import class_predictions
from .args import JaxMlpArgs
from .network import State, apply, init_state, init_weights, measure, update


@dataclass(frozen=True)
class Images:
    """Digits `[n, 1, 8, 8]` from 0 to 1, and their labels."""

    inputs: np.ndarray
    targets: np.ndarray

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"input": self.inputs[index], "target": self.targets[index]}

    def at(self, rows: np.ndarray) -> "Images":
        """The images at these positions."""
        return Images(self.inputs[rows], self.targets[rows])

    def take(self, num_samples: int, seed: int) -> "Images":
        """Some of the images, drawn by `seed`, each digit in its share."""
        return self.at(split_indices(self.targets, [num_samples / len(self)], seed)[1])


@dataclass(frozen=True)
class Batches:
    """The images batch by batch; shuffled by NumPy's generator, which each pass of an experiment seeds."""

    images: Images
    batch_size: int
    is_shuffled: bool

    def __len__(self) -> int:
        return -(-len(self.images) // self.batch_size)

    def __iter__(self) -> Iterator[Images]:
        order = np.random.permutation(len(self.images)) if self.is_shuffled else np.arange(len(self.images))
        for start in range(0, len(order), self.batch_size):
            yield self.images.at(order[start : start + self.batch_size])


class JaxMlp(BareExperiment[JaxMlpArgs]):
    """Classifies digits by cross-entropy."""

    uses = frozenset({"batch_size", "limit_train_samples", "from_checkpoint"})
    device: Any
    state: State

    # -- parts

    def build_datasets(self) -> Splits:
        data = self.args.dataset
        images, labels = load_digits(return_X_y=True)
        digits = Images(np.asarray(images, np.float32).reshape(-1, 1, 8, 8) / 16, np.asarray(labels, np.int32))
        rows = hold_out(
            digits.targets, val_fraction=data.val_fraction, test_fraction=data.test_fraction, seed=data.split_seed
        )
        train, val, test = (digits.at(chosen) for chosen in rows)
        return Splits(
            train={"train": limit(train, self.args.limit_train_samples or len(train))},
            val={"val": val} if len(val) else {},
            test={"test": test} if len(test) else {},
            name="scikit-learn digits",
            task="classification",
            num_outputs=10,
            class_names=tuple("0123456789"),
            is_image=True,
            fingerprint=fingerprint(digits.inputs, digits.targets),
        )

    def build_parts(self) -> None:
        super().build_parts()
        self.device = choose_device(self.machine.use_cuda)
        sizes = [64, *self.args.hidden_sizes, self.splits.num_outputs]
        self.state = jax.device_put(init_state(init_weights(sizes, self.args.seed)), self.device)
        start, stage = self.args.from_checkpoint, self.options.stage
        if isinstance(start, dict):
            raise UserError("--from_checkpoint: the network here has no submodules; give one file or run directory")
        if start is not None and not self.is_taken_up:
            self.load_checkpoint(resolve_checkpoint(Path(start)))
        elif stage != "train":
            raise UserError(f"--mode={stage} needs weights; add --from_checkpoint=PATH (a file or a run directory)")

    def build_loader(self, dataset: Any, name: str, *, training: bool) -> Batches:
        return Batches(dataset, self.args.batch_size, is_shuffled=training)

    def metric_directions(self) -> dict[str, bool]:
        return {"loss": False, "accuracy": True}

    # -- the rungs of the loop

    def run_dataset(self) -> None:
        started = time.perf_counter()
        super().run_dataset()
        if self.is_training:
            jax.block_until_ready(self.state)
            self.position.train_seconds += time.perf_counter() - started

    def run_batch(self) -> None:
        """Train on the batch, or only measure it; what comes of it stays on the device."""
        batch: Images = self.batch
        if self.is_training:
            loss, accuracy = self.train_batch(batch)
        else:
            loss, accuracy = measure(self.state.weights, batch.inputs, batch.targets)
        self.batch_metrics, self.batch_weight = {"loss": loss, "accuracy": accuracy}, len(batch)

    def train_batch(self, batch: Images) -> tuple[jax.Array, jax.Array]:
        """One step of Adam; the loss and the accuracy before it."""
        rate = self.args.learning_rate
        self.state, (loss, accuracy) = update(self.state, batch.inputs, batch.targets, rate)
        self.position.step += 1
        self.position.num_samples += len(batch)
        self.position.learning_rate = rate
        if self.position.step % self.options.log_every_n_steps == 0:
            self.recorder.step({"loss": float(loss), "learning_rate": rate})
        return loss, accuracy

    # -- state

    def state_dict(self) -> dict[str, Any]:
        """The weights, and what Adam remembers."""
        weights, means, squares, step = self.state
        named = {"": weights, "adam.mean.": means, "adam.square.": squares}
        arrays = {prefix + name: np.asarray(array) for prefix, part in named.items() for name, array in part.items()}
        return arrays | {"adam.step": int(step)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from `state_dict`, or begin with weights alone."""
        weights = {name: array for name, array in state.items() if not name.startswith("adam.")}
        expected = self.state.weights
        if weights.keys() != expected.keys():
            differing = sorted(weights.keys() ^ expected.keys())
            raise self._misfit(f"only one of the two has {listed(differing)}")
        for name, array in expected.items():
            if np.shape(weights[name]) != array.shape:
                raise self._misfit(f"{name} is {[*np.shape(weights[name])]} there, {[*array.shape]} here")
        loaded = init_state(weights)
        if "adam.step" in state:
            means, squares = ({name: state[f"adam.{part}.{name}"] for name in weights} for part in ("mean", "square"))
            loaded = State(weights, means, squares, state["adam.step"])
        self.state = jax.device_put(loaded, self.device)

    def store_model(self, path: Path) -> None:
        """The weights alone."""
        write_durably(path, encode_arrays({name: np.asarray(array) for name, array in self.state.weights.items()}))

    def _misfit(self, difference: str) -> UserError:
        return UserError(f"the weights do not fit a network with --hidden_sizes={self.args.hidden_sizes}: {difference}")

    # -- results

    def predict(self, name: str) -> Predictions:
        images: Images = self.loaders[name].images
        probability = np.asarray(jax.nn.softmax(apply(self.state.weights, images.inputs)))
        return class_predictions(images, images.targets, probability)

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        return plot_predictions(run, self.splits, predictions)

    def device_name(self) -> str:
        return f"{self.device.platform} ({self.device.device_kind})"


def choose_device(use_cuda: bool | None) -> Any:
    """JAX's default device, or the CPU where that is asked for; a UserError if there is no GPU but has to be one."""
    if use_cuda is False:
        return jax.devices("cpu")[0]
    device = jax.devices()[0]
    if use_cuda and device.platform == "cpu":
        raise UserError("--use_cuda=true: JAX finds no GPU here; install jax[cuda12], or pass --use_cuda=false")
    return device
