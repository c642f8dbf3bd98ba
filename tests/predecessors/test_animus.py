"""What Animus has and what was seen to break in it."""

import inspect
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labwright import BareExperiment, Hook
from labwright.args import ExperimentArgs, MachineConfig, RunOptions
from labwright.datasets import Splits
from labwright.loop import NestedLoop
from labwright.train import load_weights

from ..session.test_resume import resume, stop_at

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_best_checkpoint_holds_the_best_weights_and_not_the_current_ones(make: Callable[..., Any], points: Any) -> None:
    """It kept a live reference, so `.best` held what was trained on since."""

    class Worsening(points):
        def eval_batch(self, batch: Any) -> Any:
            return super().eval_batch(batch)._replace(value=torch.tensor(float(self.epoch)))

        def on_epoch_end(self) -> None:
            if self.epoch == 1:
                self.best_weights = {name: tensor.clone() for name, tensor in self.model.state_dict().items()}

    experiment = make(Worsening, epochs=4)
    result = experiment.run(RunOptions(predictions="none"))
    best, last = load_weights(result.checkpoints["best"]), load_weights(result.checkpoints["last"])
    assert result.best_epoch == 1
    assert all(torch.equal(best[name], experiment.best_weights[name]) for name in best)
    assert any(not torch.equal(last[name], best[name]) for name in best)


def test_best_checkpoint_of_a_resumed_run_is_that_of_its_best_epoch(make: Callable[..., Any], points: Any) -> None:
    """What was best before the stop stays so, and is what the run returns."""

    class Worsening(points):
        def eval_batch(self, batch: Any) -> Any:
            return super().eval_batch(batch)._replace(value=torch.tensor(float(self.epoch)))

    first_epoch = load_weights(make(Worsening, epochs=1).run(RunOptions(predictions="none")).checkpoints["last"])
    run = stop_at(make(Worsening, epochs=4), 8)  # an epoch trains on 2 batches and validates on 1
    result = resume(make(Worsening, epochs=4), run)
    assert (result.best_epoch, result.epochs) == (1, 4)
    for path in (result.checkpoints["best"], run / "model.safetensors"):
        weights = load_weights(path)
        assert all(torch.equal(weights[name], tensor) for name, tensor in first_epoch.items())


def test_batch_metrics_are_aggregated(make: Callable[..., Any], points: Any) -> None:
    """They never were."""

    class Measuring(points):
        def train_batch(self, batch: Any) -> Any:
            self.batch_metrics["half"] = 0.5
            return super().train_batch(batch)

    assert make(Measuring).run(RunOptions(predictions="none")).epochs == 2
    experiment = make(Measuring, epochs=1)
    experiment.run(RunOptions(predictions="none"))
    assert experiment.epoch_metrics["train"]["half"] == 0.5


def test_events_are_methods_with_types() -> None:
    """They were strings, so a typing mistake was a hook that nobody called."""
    events = {name for name in vars(Hook) if name.startswith("on_")}
    assert events == {name for name in vars(NestedLoop) if name.startswith("on_")}
    levels = ("experiment", "epoch", "dataset", "batch")
    assert events == {f"on_{level}_{when}" for level in levels for when in ("start", "end")} | {"on_exception"}
    for name in events:
        assert inspect.signature(getattr(Hook, name)).return_annotation is None


def test_several_datasets_are_passed_over_in_order_and_trained_on_where_they_are_training_sets(
    make: Callable[..., Any], points: Any
) -> None:
    passes: list[tuple[str, bool]] = []

    class Several(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            whole = splits.train["train"]
            return replace(splits, train={"train_b": whole.subset(range(30)), "train_a": whole.subset(range(30, 60))})

        def on_dataset_start(self) -> None:
            passes.append((self.dataset_name, self.is_training))

    make(Several, epochs=1).run(RunOptions(predictions="none"))
    assert passes == [("train_b", True), ("train_a", True), ("val", False), ("test", False)]


def test_generators_are_seeded_for_each_epoch_and_dataset(make: Callable[..., Any], points: Any) -> None:
    def drawn(greedy: bool) -> list[tuple[float, float, float]]:
        seen: list[tuple[float, float, float]] = []

        class Drawing(points):
            def on_dataset_start(self) -> None:
                seen.append((random.random(), float(np.random.rand()), torch.rand(()).item()))
                if greedy:
                    torch.rand(7), np.random.rand(7), random.random()

        make(Drawing).run(RunOptions(predictions="none"))
        return seen

    assert drawn(False) == drawn(True)
    assert len(set(drawn(False))) == len(drawn(False))


class CountingArgs(ExperimentArgs):
    """Counts."""

    epochs: int = 5
    experiment_id: str = "counting"

    def build(self, machine: MachineConfig) -> "Counting":
        return Counting(self, machine)


class Counting(BareExperiment[CountingArgs]):
    """Something that is no training: the loss of an epoch is how far it is from the third."""

    def build_datasets(self) -> Splits:
        return Splits(train={"train": [1, 2, 3]}, val={"val": [4]}, name="numbers")

    def run_batch(self) -> None:
        self.batch_metrics["loss"] = abs(self.epoch - 3) + 0.0 * self.batch

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self.epoch, "values": np.arange(self.epoch)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.restored = state


def test_core_runs_without_any_framework_and_keeps_the_best_and_stops_early(tmp_path: Path) -> None:
    args = CountingArgs(epochs=9, early_stopping_patience=2)
    experiment = Counting(args, MachineConfig(results_dir=tmp_path))
    result = experiment.run(RunOptions(keep_best=2))
    assert (result.best_epoch, result.epochs, result.stopped_early) == (3, 5, True)
    assert experiment.restored["epoch"] == 3 and experiment.restored["values"].tolist() == [0, 1, 2]
    assert {path.name for path in (result.run_dir / "checkpoints").iterdir()} >= {"index.json"}
    for file in ("args.yaml", "command.sh", "run.json", "history.jsonl", "log.txt", "model.safetensors"):
        assert (result.run_dir / file).is_file(), file


def test_setting_that_an_experiment_does_not_use_is_refused(tmp_path: Path) -> None:
    from labwright.args import UserError

    with pytest.raises(UserError, match="--batch_size: counting does not use it"):
        Counting(CountingArgs(batch_size=5), MachineConfig(results_dir=tmp_path)).run()
    assert not list(tmp_path.iterdir())
