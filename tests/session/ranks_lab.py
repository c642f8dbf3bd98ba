"""What the tests of several ranks run: `python ranks_lab.py FOLDER STORY`, by itself or under torchrun.

Digits in double precision, in sets of prime sizes, with samples that stop a rank, and what became of it as JSON.
"""

import contextlib
import gc
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import Field
from torch.nn.functional import cross_entropy

from labwright import Experiment, ExperimentArgs, MachineConfig, RunOptions, UserError
from labwright.args.errors import Terminated
from labwright.datasets import DigitsDataArgs, limit
from labwright.loop import Hook
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs
from labwright.session import strategies
from labwright.train import Loss, NonFiniteLoss, frozen
from labwright.train.distributed import group

NUM_TRAIN, NUM_TEST = 299, 127


class DoubleArgs(ExperimentArgs):
    """Digits in double precision."""

    epochs: int = 2
    batch_size: int = 33
    model: MLPArgs = Field(default=MLPArgs(hidden_sizes=[16]), description="The model.")
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs(), description="The data.")
    optimizer: AdamArgs = Field(default=AdamArgs(learning_rate=0.01), description="What updates the weights.")

    def build(self, machine: MachineConfig) -> "Double":
        return Double(self, machine)


class Double(Experiment[DoubleArgs]):
    """`at_step` is called at the end of each training batch, on every rank."""

    at_step: Callable[["Double"], None] | None = None
    stops_at: str = ""
    """The event of a hook at which the last rank stops the run."""

    def build_datasets(self) -> Any:
        splits = super().build_datasets()
        test = {"test": limit(splits.test["test"], NUM_TEST)}
        return replace(splits, train={"train": limit(splits.train["train"], NUM_TRAIN)}, test=test)

    def build_model(self) -> Any:
        return super().build_model().double()

    def prepare_batch(self, batch: Any, *, training: bool) -> Any:
        batch = super().prepare_batch(batch, training=training)
        batch["input"] = batch["input"].double()
        if training:  # drawn anew in each batch, and otherwise on each rank
            batch["noise"] = torch.rand(())
        return batch

    def build_hooks(self) -> list[Hook[Any]]:
        if self.stops_at:
            return [_StopsAt(self.stops_at)]
        return [] if self.at_step is None else [_AtStep(self.at_step)]


class OfItsOwn(Double):
    """Takes its steps as one does alone."""

    def train_batch(self, batch: Any) -> Any:
        loss = self.compute_loss(batch)
        self.backward(loss)
        self.step()
        return loss.detach()


class NotFinite(Double):
    """One sample of the last rank has no loss."""

    def compute_loss(self, batch: Any) -> Any:
        loss = super().compute_loss(batch)
        is_bad = self.model.training and self.world.rank == self.world.size - 1 and self.position.step == 3
        return loss._replace(value=loss.value * float("nan")) if is_bad else loss


class Weighted(Double):
    """Small digits count nothing, so that some shares have no loss, nor a gradient."""

    def compute_loss(self, batch: Any) -> Any:
        loss = super().compute_loss(batch)
        each = torch.nn.functional.cross_entropy(loss.outputs["logits"], batch["target"], reduction="none")
        counts = (batch["target"] > 3).double()
        return loss._replace(value=(each * counts).sum() / counts.sum(), weight=counts.sum().item())


class TwoOptimizers(Double):
    """The head learns from what the body gives, which then learns from the head as it is."""

    def build_model(self) -> Any:
        return torch.nn.ModuleDict({"body": super().build_model(), "head": torch.nn.Linear(10, 10).double()})

    def build_optimizers(self) -> dict[str, Any]:
        part = self.args.optimizer
        return {name: part.build(part.param_groups(model)) for name, model in self.model.named_children()}

    def forward(self, batch: Any) -> Any:
        return self.model.get_submodule("head")(self.model.get_submodule("body")(batch["input"]))

    def train_batch(self, batch: Any) -> Any:
        body, head = self.model.get_submodule("body"), self.model.get_submodule("head")
        size, hidden = len(batch["index"]), body(batch["input"])
        loss = self.parallel(lambda: cross_entropy(head(hidden.detach()), batch["target"]))
        self.stepper.update(loss, self.optimizers["head"], weight=size)
        with frozen(head):
            logits = self.parallel(head, hidden)
        loss = cross_entropy(logits, batch["target"])
        self.stepper.update(loss, self.optimizers["body"], weight=size)
        return Loss(loss, {"logits": logits}, size).detach()


class Penalized(Double):
    """Learns from more than the loss that it tells of."""

    def train_batch(self, batch: Any) -> Any:
        loss = self.parallel(self.compute_loss, batch)
        penalty = sum(weights.square().sum() for weights in self.model.parameters())
        self.stepper.update(loss.value + 0.01 * penalty, self.optimizer, weight=loss.weight)
        return loss.detach()


class Late(Double):
    """The last rank needs longer for its model than ranks wait for each other within an exchange."""

    def build_model(self) -> Any:
        if _is_last_rank():
            time.sleep(1.25 * group.TIMEOUT_SECONDS)
        return super().build_model()


class Unreadable(Double):
    """The last rank cannot build its model."""

    def build_model(self) -> Any:
        if _is_last_rank():
            raise UserError("cannot read the weights")
        return super().build_model()


class _AtStep(Hook[Any]):
    def __init__(self, act: Callable[[Double], None]) -> None:
        self._act = act

    def on_batch_end(self, loop: Any) -> None:
        if loop.is_training:
            self._act(loop)


class _StopsAt(Hook[Any]):
    """Where the name says: that of an event, and the epoch."""

    def __init__(self, when: str) -> None:
        self._event, self._epoch = when.rsplit(" ", 1)

    def _stop(self, event: str, loop: Any) -> None:
        if event == self._event and loop.epoch == int(self._epoch) and _is_last_rank():
            loop.stop()

    def on_epoch_start(self, loop: Any) -> None:
        self._stop("epoch start", loop)

    def on_dataset_start(self, loop: Any) -> None:
        self._stop(f"{loop.dataset_name} start", loop)

    def on_dataset_end(self, loop: Any) -> None:
        self._stop(f"{loop.dataset_name} end", loop)


class Interrupted(Double):
    """torchrun is asked to end while rank 0 draws; that rank hears of it when the other one has ended."""

    def plot(self, run: Any, predictions: Any) -> list[Path]:
        world: Any = self.world
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        os.kill(os.getppid(), signal.SIGTERM)
        while world.whom_we_lost() is None:
            time.sleep(0.05)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        return []


def run(
    folder: Path, kind: type[Double] = Double, at_step: Any = None, stops_at: str = "", **changes: Any
) -> dict[str, Any]:
    """What a run came to, as this rank sees it."""
    options = {name: changes.pop(name) for name in list(changes) if name in RunOptions.model_fields}
    experiment = kind(DoubleArgs(**changes), MachineConfig(results_dir=folder, use_cuda=False))
    experiment.at_step, experiment.stops_at = at_step, stops_at
    result = experiment.run(RunOptions(snapshot=False, predictions="none", **options))
    return {"run": str(result.run_dir), "steps": result.steps, "test": result.test, "val": result.val}


def equal(folder: Path) -> list[Any]:
    """A training with unequal shares, accumulation and clipping, and the test of given weights."""
    trained = run(folder, accumulate_batches=3, gradient_clipping=0.5)
    weights = Path(os.environ.get("LAB_WEIGHTS") or trained["run"])
    return [trained, run(folder, mode="test", from_checkpoint=str(weights))]


def several(folder: Path) -> dict[str, Any]:
    """Two optimizers that take their steps in one batch, by each strategy; and a loss that is not all of the step's."""
    settings: dict[str, Any] = {"accumulate_batches": 2, "log_every_n_steps": 1}
    told: dict[str, Any] = {"penalized": run(folder, Penalized, **settings)}
    for strategy in ("ddp", "zero", "fsdp"):
        try:
            told[strategy] = run(folder, TwoOptimizers, strategy=strategy, **settings)
        except UserError as error:
            told[strategy] = str(error)
    return told


def killed(folder: Path) -> list[Any]:
    """The last rank is killed in the second epoch; torchrun starts all anew."""

    def die(loop: Double) -> None:
        if loop.position.step == 13 and _is_last_rank() and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGKILL)

    return [run(folder, at_step=die, checkpoint_every_n_steps=5)]


def main_killed(folder: Path) -> list[Any]:
    """Rank 0, which tells how a run ends, is killed itself."""

    def die(loop: Double) -> None:
        if loop.position.step == 13 and not _is_last_rank():
            os.kill(os.getpid(), signal.SIGKILL)

    return [run(folder, at_step=die, checkpoint_every_n_steps=5)]


def signalled(folder: Path) -> list[Any]:
    """The last rank is asked to stop in the second epoch; torchrun starts all anew."""

    def ask(loop: Double) -> None:
        if loop.position.step == 13 and _is_last_rank() and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
            os.kill(os.getpid(), signal.SIGTERM)

    return [run(folder, at_step=ask)]


def whole(folder: Path) -> list[Any]:
    """The same training, never interrupted."""
    return [run(folder)]


def left(folder: Path) -> list[Any]:
    """The threads that torch.distributed has left after runs, however they ended."""

    def ask(loop: Double) -> None:
        if loop.position.step == 2 and _is_last_rank():
            os.kill(os.getpid(), signal.SIGTERM)

    threads: list[list[str]] = []
    runs: list[dict[str, Any]] = [{}, {"strategy": "zero"}, {"at_step": ask}, {"kind": NotFinite}]
    for each in runs:
        with contextlib.suppress(Terminated, NonFiniteLoss):
            run(folder, epochs=1, **each)
        gc.collect()
        ends = time.monotonic() + 60
        while (names := threads_of_gloo()) and time.monotonic() < ends:
            time.sleep(0.02)  # who waited for the end of a thread may be faster than what lists it
        threads.append(names)
    return threads


def threads_of_gloo() -> list[str]:
    names: list[str] = []
    for task in Path("/proc/self/task").glob("*/comm"):
        with contextlib.suppress(OSError):  # it has ended meanwhile
            names.append(task.read_text())
    return [name for name in names if "gloo" in name]


def refused(folder: Path) -> list[Any]:
    """What several ranks cannot do."""
    told: list[Any] = []
    refusals: list[tuple[type[Double], dict[str, Any]]] = [(Double, {"batch_size": 1}), (OfItsOwn, {}), (NotFinite, {})]
    for kind, changes in refusals:
        try:
            run(folder, kind, **changes)
        except (UserError, NonFiniteLoss) as error:
            told.append(str(error))
    return told


def weighted(folder: Path) -> list[Any]:
    """Batches of which some ranks have nothing that counts."""
    return [run(folder, Weighted, batch_size=6, epochs=1)]


def late(folder: Path) -> list[Any]:
    """Ranks that need longer than others, and what one cannot do."""
    group.TIMEOUT_SECONDS = 8.0
    told: list[Any] = [run(folder, Late, epochs=1)["steps"]]
    for kind, choose_device in ((Unreadable, strategies.choose_device), (Double, _no_device)):
        strategies.choose_device = choose_device
        try:
            run(folder, kind)
        except UserError as error:
            told.append(str(error))
    return told


def _no_device(*args: Any, **kwargs: Any) -> Any:
    if _is_last_rank():
        raise UserError("there is no GPU left")
    return torch.device("cpu")


def stopped(folder: Path) -> list[Any]:
    """A hook of one rank stops the run."""

    def stop(loop: Double) -> None:
        if loop.position.step == 4 and _is_last_rank():
            loop.stop("experiment")

    return [run(folder, at_step=stop)]


def stopped_between(folder: Path) -> list[Any]:
    """A hook of one rank stops the run between two passes."""
    events = ("epoch start 2", "train start 2", "train end 1", "val end 1")
    return [run(folder, stops_at=event) for event in events]


def appended(folder: Path) -> list[Any]:
    """Each rank keeps a row of each step; the run is interrupted in the second epoch, and resumed."""

    def append(loop: Double) -> None:
        loop.append("rows", {"step": loop.position.step, "rank": loop.world.rank})
        if loop.position.step == 13 and loop.options.resume is None and _is_last_rank():
            os.kill(os.getpid(), signal.SIGTERM)

    with contextlib.suppress(Terminated):
        run(folder, at_step=append)
    begun = next(folder.glob("double/*"))
    return [run(folder, at_step=append, resume=str(begun))]


def drawing(folder: Path) -> list[Any]:
    """A signal comes while rank 0 works alone."""
    return [run(folder, Interrupted, epochs=1)]


def _is_last_rank() -> bool:
    return os.environ.get("RANK", "0") == str(int(os.environ.get("WORLD_SIZE", "1")) - 1)


if __name__ == "__main__":
    torch.set_num_threads(1)
    place = Path(sys.argv[1])
    found = {story: globals()[story](place / story) for story in sys.argv[2:]}
    place.mkdir(parents=True, exist_ok=True)
    (place / f"rank_{os.environ.get('RANK', '0')}.json").write_text(json.dumps(found))
