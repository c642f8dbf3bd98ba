"""Whether a step costs the same however long a run is, and whatever is measured, hooked in or switched on.

    python benchmarks/scaling.py [--quick] [--epochs=1000] [--rounds=15] [--steps=400] [--parts=epochs,extras]

CPU time on one thread of an MLP 784-64-10 with batches of 64. `epochs`: a run of a thousand epochs of ten steps; a step
and an epoch in the second and in the last tenth of them, and the memory that the process holds. Between two epochs ten
bare steps of another model are timed; the ratios are of what was measured relative to them, so that a machine that
becomes slower meanwhile does not count.
`extras`: runs of three epochs with 1 and 20 metrics, 0 and 50 hooks, parts of labwright on and off, in turns of
shuffled order so that a busy machine slows all alike; medians of the rounds, and of the ratios to the plain run of the
same round. A step's cost is that of a pass over the training set divided by its steps, what happens at the end of the
pass included, in the cheaper one of the second and the third epoch. Prints Markdown tables and exits 1 where a limit is
passed.
"""

import argparse
import io
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parent / "loops"))

from work import NUM_CLASSES, SCALE, Work

from labwright import Experiment, ExperimentArgs, Hook, MachineConfig, RunOptions
from labwright.datasets import Splits, TensorDataset
from labwright.metrics import GROUPS, Metric, WeightedMean
from labwright.optimizers import AdamArgs
from labwright.runs import RunDirectory
from labwright.runs.terminal import Terminal
from labwright.session import Predictions
from labwright.train import Batch, Loss

BATCH_SIZE = 64
EPOCHS_LIMIT, METRICS_LIMIT, EXTRAS_LIMIT = 1.10, 1.25, 1.10
MULTICLASS = list(GROUPS["multiclass_classification"])


class ScalingArgs(ExperimentArgs):
    """Shapes in noise, for as long as you like."""

    batch_size: int = BATCH_SIZE
    optimizer: AdamArgs = AdamArgs()


class BareSteps:
    """Ten steps of a loop written by hand, to see how fast the machine is just now."""

    def __init__(self) -> None:
        work = Work("tiny", 10 * BATCH_SIZE, 1)
        self.inputs, self.targets, _, _ = work.float_sets()
        self.model = work.model()
        self.optimizer = torch.optim.Adam(self.model.parameters())

    def seconds(self) -> float:
        started = time.thread_time()
        for x, y in zip(self.inputs.split(BATCH_SIZE), self.targets.split(BATCH_SIZE), strict=True):
            loss = nn.functional.cross_entropy(self.model(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
        return time.thread_time() - started


class EpochHook(Hook[Any]):
    """Hears of everything but batches."""

    num_heard = 0

    def on_dataset_end(self, loop: Any) -> None:
        self.num_heard += 1

    def on_epoch_end(self, loop: Any) -> None:
        self.num_heard += 1


class BatchHook(Hook[Any]):
    """Hears of each batch."""

    num_heard = 0

    def on_batch_end(self, loop: Any) -> None:
        self.num_heard += 1


class Tty(io.StringIO):
    """A terminal that nobody looks at."""

    def isatty(self) -> bool:
        return True


@dataclass(frozen=True)
class Case:
    """A run: what it has that the plain one has not, and what a step of it may cost at most (None: it does more)."""

    limit: float | None = EXTRAS_LIMIT
    args: Mapping[str, Any] = field(default_factory=dict[str, Any])
    options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    hooks: Sequence[Hook[Any]] = ()
    num_means: int = 0
    has_bar: bool = False


PLAIN = "plain: loss and accuracy"
CASES = {
    PLAIN: Case(),
    "20 metrics": Case(
        METRICS_LIMIT, args={"metrics": {"multiclass_classification": MULTICLASS}}, num_means=20 - len(MULTICLASS)
    ),
    "50 hooks for epochs and datasets": Case(hooks=[EpochHook() for _ in range(50)]),
    "50 hooks for each batch": Case(hooks=[BatchHook() for _ in range(50)]),
    "progress bar": Case(has_bar=True),
    "early stopping": Case(args={"early_stopping_patience": 1000}),
    "a row of steps.jsonl every 10 steps": Case(options={"log_every_n_steps": 10}),
    "clipping of gradients": Case(None, args={"gradient_clipping": 1.0}),
    "average of weights": Case(None, args={"ema_decay": 0.99}),
    "a checkpoint every 20 steps": Case(None, options={"checkpoint_every_n_steps": 20}),
}


class Scaling(Experiment[ScalingArgs]):
    """Notes the CPU time of each pass over the training set, when each epoch began, and the memory held then."""

    num_samples: int
    case: Case
    bare_steps: BareSteps | None = None

    def build_datasets(self) -> Splits:
        inputs, targets, val_inputs, val_targets = Work("tiny", self.num_samples, 1).sets()
        return Splits(
            train={"train": TensorDataset(inputs, targets, source="shapes/train", std=SCALE)},
            val={"val": TensorDataset(val_inputs, val_targets, source="shapes/val", std=SCALE)},
            name="shapes in noise",
            task="classification",
            num_outputs=NUM_CLASSES,
            is_image=True,
        )

    def build_model(self) -> nn.Module:
        return Work("tiny", self.num_samples, 1).model()

    def build_hooks(self) -> Sequence[Hook[Any]]:
        return self.case.hooks

    def build_metrics(self) -> list[Metric]:
        means = [WeightedMean(f"mean_{number}") for number in range(self.case.num_means)]
        return [*super().build_metrics(), *means]

    def compute_loss(self, batch: Batch) -> Loss:
        loss = super().compute_loss(batch)
        if self.case.num_means:
            value = loss.value.detach()
            loss.outputs.update({f"mean_{number}": value for number in range(self.case.num_means)})
        return loss

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        return []  # pictures of samples after training; nobody waits for them here

    def on_experiment_start(self) -> None:
        self.step_seconds: list[float] = []
        self.epoch_seconds: list[float] = []
        self.bare_seconds: list[float] = []
        self.mebibytes: list[float] = []
        self._began = time.process_time()

    def on_epoch_start(self) -> None:
        self.epoch_seconds.append(time.process_time() - self._began)
        if self.bare_steps is not None:
            self.bare_seconds.append(self.bare_steps.seconds())
        self.mebibytes.append(resident_mebibytes())
        self._began = time.process_time()

    def pass_over(self, name: str, dataset: Any) -> dict[str, Any]:
        started = time.process_time()
        metrics = super().pass_over(name, dataset)
        if name == "train":
            self.step_seconds.append((time.process_time() - started) / len(dataset))
        return metrics


def main() -> int:
    given = _given()
    torch.set_num_threads(1)
    failures: list[str] = []
    if "epochs" in given.parts:
        failures += _measure_epochs(given.epochs)
    if "extras" in given.parts:
        failures += _measure_extras(given.rounds, given.steps)
    for failure in failures:
        print(f"over the limit: {failure}", file=sys.stderr)
    return int(bool(failures))


def run(case: Case, num_epochs: int, num_steps: int, bare_steps: BareSteps | None = None) -> Scaling:
    """One whole run, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        args = ScalingArgs(epochs=num_epochs, **case.args)
        experiment = Scaling(args, MachineConfig(results_dir=Path(folder), use_cuda=False))
        experiment.num_samples, experiment.case, experiment.bare_steps = num_steps * BATCH_SIZE, case, bare_steps
        terminal = Terminal(Tty()) if case.has_bar else None
        experiment.run(RunOptions(**case.options), terminal=terminal)
        return experiment


def _measure_epochs(num_epochs: int) -> list[str]:
    run(Case(), num_epochs=2, num_steps=10)  # what the plots import stays in memory
    trained = run(Case(), num_epochs + 1, num_steps=10, bare_steps=BareSteps())
    bare = trained.bare_seconds[:num_epochs]
    tenth = num_epochs // 10
    early, late = slice(tenth, 2 * tenth), slice(num_epochs - tenth, num_epochs)
    names = [f"epochs {part.start + 1:,} to {part.stop:,}" for part in (early, late)]
    print(f"| {num_epochs:,} epochs of 10 steps | {names[0]} | {names[1]} | ratio |\n|---|---:|---:|---:|")
    ratios: dict[str, float] = {}
    for name, seconds, scale in (
        ("a step, microseconds", trained.step_seconds[:num_epochs], 1e6),
        ("an epoch, ms", trained.epoch_seconds[1:], 1e3),
    ):
        before, after = (statistics.median(seconds[part]) * scale for part in (early, late))
        relative = [taken / plain for taken, plain in zip(seconds, bare, strict=True)]
        ratios[name] = statistics.median(relative[late]) / statistics.median(relative[early])
        print(f"| {name} | {before:,.1f} | {after:,.1f} | {ratios[name]:.3f} |")
    held = [statistics.median(trained.mebibytes[part]) for part in (early, late)]
    print(f"| memory held, MiB | {held[0]:,.1f} | {held[1]:,.1f} | {held[1] / held[0]:.3f} |")
    ratios["memory held"] = held[1] / held[0]
    return [
        f"{name}: {ratio:.3f} at the end of what it was, and {EPOCHS_LIMIT} is the limit"
        for name, ratio in ratios.items()
        if ratio > EPOCHS_LIMIT
    ]


def _measure_extras(rounds: int, num_steps: int) -> list[str]:
    seconds: dict[str, list[float]] = {name: [] for name in CASES}
    for number in range(rounds):
        for name in random.Random(number).sample(list(CASES), len(CASES)):
            steps = run(CASES[name], num_epochs=3, num_steps=num_steps).step_seconds
            seconds[name].append(min(steps[1:]))
    print("\n| extras | microseconds a step | ratio | limit |\n|---|---:|---:|---:|")
    failures: list[str] = []
    for name, case in CASES.items():
        pairs = zip(seconds[name], seconds[PLAIN], strict=True)
        ratio = statistics.median(taken / plain for taken, plain in pairs)
        limit = "" if case.limit is None or name == PLAIN else f"{case.limit:.2f}"
        print(f"| {name} | {statistics.median(seconds[name]) * 1e6:.1f} | {ratio:.3f} | {limit} |")
        if case.limit is not None and ratio > case.limit:
            failures.append(f"{name}: {ratio:.3f}, and {case.limit} is the limit")
    return failures


def resident_mebibytes() -> float:
    """The memory that this process holds now; where the kernel does not say so, the most that it held."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="200 epochs, 5 rounds")
    parser.add_argument("--epochs", type=int)
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--parts", type=lambda text: text.split(","), default=["epochs", "extras"])
    given = parser.parse_args()
    given.epochs = given.epochs or (200 if given.quick else 1000)
    given.rounds = given.rounds or (5 if given.quick else 15)
    if given.epochs < 30 or set(given.parts) - {"epochs", "extras"}:
        parser.error("at least 30 epochs, and the parts are epochs and extras")
    return given


if __name__ == "__main__":
    sys.exit(main())
