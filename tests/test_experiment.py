"""`Experiment`: each default can be overridden alone."""

import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from pydantic import Field
from safetensors.torch import load_file
from torch import nn

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig, RunOptions, UserError
from labwright.datasets import DiabetesDataArgs, DigitsDataArgs, Splits
from labwright.metrics import Metric
from labwright.models import MLPArgs, ModelUnion
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion
from labwright.train import Loss, build_loader, model_bytes

pytestmark = pytest.mark.usefixtures("no_pictures")


class SmallArgs(ExperimentArgs):
    epochs: int = 1
    limit_train_samples: int | None = 64
    model: ModelUnion = Field(default=MLPArgs(hidden_sizes=[8]))
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs())
    optimizer: OptimizerUnion = Field(default=AdamArgs())
    scheduler: SchedulerUnion = Field(default=ConstantArgs())


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(results_dir=tmp_path / "results", cache_dir=tmp_path / "cache", use_cuda=False)


def test_making_one_touches_no_disk(machine: MachineConfig, tmp_path: Path) -> None:
    Experiment(SmallArgs(), machine)
    assert list(tmp_path.iterdir()) == []


def test_defaults_make_a_whole_run_of_the_parts(machine: MachineConfig) -> None:
    result = Experiment(SmallArgs(), machine).run()
    assert result.experiment_id == "small" and result.dataset == "scikit-learn digits"
    assert result.test.keys() == {"loss", "accuracy"} and result.steps == 2


def test_regression_is_measured_in_errors(machine: MachineConfig) -> None:
    class TableArgs(SmallArgs):
        dataset: DiabetesDataArgs = Field(default=DiabetesDataArgs())  # pyright: ignore[reportIncompatibleVariableOverride]

    result = Experiment(TableArgs(epochs=2, limit_train_samples=None), machine).run()
    assert result.test.keys() == {"loss", "mse", "mae"}
    assert result.test["loss"] == pytest.approx(result.test["mse"])


@pytest.mark.parametrize(
    ("field", "method"), [("model", "build_model"), ("dataset", "build_datasets"), ("optimizer", "build_optimizer")]
)
def test_missing_part_names_the_field_and_the_method(machine: MachineConfig, field: str, method: str) -> None:
    parts = {name: annotation for name, annotation in SmallArgs.__annotations__.items() if name != field}
    defaults = {name: SmallArgs.model_fields[name] for name in parts}
    lacking: Any = type(
        "LackingArgs", (ExperimentArgs,), {"__annotations__": parts, **defaults, "__module__": __name__}
    )
    with pytest.raises(UserError, match=f"LackingArgs has no `{field}`.*{method}"):
        Experiment(lacking(), machine).run()


def test_model_datasets_optimizer_and_schedule_may_be_built_by_hand(machine: MachineConfig) -> None:
    class ByHandArgs(ExperimentArgs):
        epochs: int = 2

    class ByHand(Experiment[ByHandArgs]):
        def build_datasets(self) -> Splits:
            return DigitsDataArgs().build(self.machine.cache_dir)

        def build_model(self) -> nn.Module:
            return nn.Sequential(nn.Flatten(), nn.Linear(64, self.splits.num_outputs))

        def build_optimizer(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.model.parameters(), lr=0.1)

        def build_scheduler(self, optimizer: torch.optim.Optimizer, num_epochs: int, steps_per_epoch: int) -> Any:
            self.scheduler_interval = "step"
            return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / (num_epochs * steps_per_epoch))

    experiment = ByHand(ByHandArgs(), machine)
    result = experiment.run()
    assert result.test["accuracy"] > 0.8
    assert experiment.optimizer.param_groups[0]["lr"] == pytest.approx(0, abs=1e-9)


def test_loss_and_metrics_may_be_its_own(machine: MachineConfig) -> None:
    class Top3(Metric):
        name, higher_is_better = "top3", True

        def __init__(self) -> None:
            self.hits, self.count = 0, 0

        def update(self, outputs: Any, batch: Any, weight: float) -> None:
            best = outputs["logits"].topk(3).indices
            self.hits += int((best == batch["target"].unsqueeze(1)).any(dim=1).sum())
            self.count += len(best)

        def compute(self) -> float:
            return self.hits / self.count

    class Own(Experiment[SmallArgs]):
        def compute_loss(self, batch: Any) -> Loss:
            logits = self.model(batch["input"])
            loss = nn.functional.multi_margin_loss(logits, batch["target"])
            return Loss(loss, {"logits": logits}, len(logits))

        def build_metrics(self) -> list[Metric]:
            return [Top3(), *super().build_metrics()]

    result = Own(SmallArgs(epochs=3, best_model_metric="top3"), machine).run()
    assert result.best_metric == "val/top3" and result.test["top3"] > result.test["accuracy"]


def test_events_come_in_order(machine: MachineConfig) -> None:
    seen: list[str] = []

    class Watched(Experiment[SmallArgs]):
        def on_experiment_start(self) -> None:
            seen.append(f"run starts, {'run.json' if self.run_directory.record_path.exists() else 'nothing'} is there")

        def on_epoch_start(self) -> None:
            seen.append(f"epoch {self.epoch} starts")

        def on_epoch_end(self) -> None:
            seen.append(f"epoch {self.epoch} ends: {', '.join(self.epoch_metrics)}")

        def on_test_end(self) -> None:
            seen.append(f"tested: {', '.join(self.test_metrics['test'])}")

        def store_model(self, path: Path) -> None:
            seen.append(f"stores {path.name}")

        def on_experiment_end(self) -> None:
            seen.append(f"run ends: {self.result.epochs} epochs")

    Watched(SmallArgs(epochs=2), machine).run()
    assert seen == [
        "run starts, run.json is there",
        "epoch 1 starts",
        "epoch 1 ends: train, val",
        "epoch 2 starts",
        "epoch 2 ends: train, val",
        "tested: loss, accuracy",
        "stores model.safetensors",
        "run ends: 2 epochs",
    ]


def test_loader_and_collate_may_be_its_own(machine: MachineConfig) -> None:
    sizes: list[int] = []

    class Collating(Experiment[SmallArgs]):
        def collate(self, samples: list[Any]) -> Any:
            sizes.append(len(samples))
            return super().collate(samples)

        def build_loader(self, dataset: Any, name: str, *, training: bool) -> Any:
            if not training:
                return super().build_loader(dataset, name, training=training)
            return build_loader(dataset, 16, shuffle=True, seed=1, collate=self.collate)

    result = Collating(SmallArgs(), machine).run()
    assert result.steps == 4 and sizes[:4] == [16] * 4


def test_predictions_may_be_left_out_or_its_own(machine: MachineConfig) -> None:
    class Silent(Experiment[SmallArgs]):
        def predict_batch(self, batch: Any) -> dict[str, torch.Tensor]:
            return {}

    class Doubting(Experiment[SmallArgs]):
        def predict_batch(self, batch: Any) -> dict[str, torch.Tensor]:
            predicted = super().predict_batch(batch)
            return {**predicted, "doubt": 1 - predicted["confidence"]}

    assert not (Silent(SmallArgs(), machine).run().run_dir / "predictions").exists()
    [table] = (Doubting(SmallArgs(), machine).run().run_dir / "predictions").iterdir()
    assert table.read_text().splitlines()[0] == "index,target,prediction,confidence,doubt"


def test_teacher_that_follows_by_averages_needs_one_method(machine: MachineConfig) -> None:
    """Someone had to copy a whole training loop for an EMA teacher."""

    class WithTeacher(Experiment[SmallArgs]):
        def on_experiment_start(self) -> None:
            from copy import deepcopy

            self.teacher = deepcopy(self.model)

        def train_batch(self, batch: Any) -> Loss:
            loss = super().train_batch(batch)
            for slow, fast in zip(self.teacher.parameters(), self.model.parameters(), strict=True):
                slow.data.lerp_(fast.data, 0.5)
            return loss

        def store_model(self, path: Path) -> None:
            super().store_model(path)
            path.with_name("teacher.safetensors").write_bytes(model_bytes(self.teacher))

    run = WithTeacher(SmallArgs(), machine).run().run_dir
    student, teacher = (load_file(run / f"{name}.safetensors") for name in ("model", "teacher"))
    assert student.keys() == teacher.keys()
    assert not torch.equal(student["head.weight"], teacher["head.weight"])


def test_training_batches_are_let_go(machine: MachineConfig) -> None:
    """A loss kept with its graph would hold every batch of the epoch."""
    losses: list[weakref.ref[torch.Tensor]] = []

    class Watched(Experiment[SmallArgs]):
        def compute_loss(self, batch: Any) -> Loss:
            assert sum(reference() is not None for reference in losses) <= 1
            loss = super().compute_loss(batch)
            if loss.value.requires_grad:
                losses.append(weakref.ref(loss.value))
            return loss

    Watched(SmallArgs(batch_size=4), machine).run()
    assert len(losses) == 16


def test_only_training_batches_are_shuffled(machine: MachineConfig) -> None:
    order: dict[bool, list[int]] = {True: [], False: []}

    class Watched(Experiment[SmallArgs]):
        def prepare_batch(self, batch: Any, *, training: bool) -> Any:
            order[training] += batch["index"].tolist()
            return super().prepare_batch(batch, training=training)

    Watched(SmallArgs(epochs=2), machine).run()
    first, second = order[True][:64], order[True][64:]
    assert sorted(first) == sorted(second) == list(range(64))
    assert first != second and first != sorted(first)
    starts = [position for position, index in enumerate(order[False]) if index == 0]
    for start, end in zip(starts, [*starts[1:], len(order[False])], strict=True):
        assert order[False][start:end] == list(range(end - start))


def test_weights_are_seeded_however_much_randomness_the_data_used(machine: MachineConfig) -> None:
    class Wasteful(Experiment[SmallArgs]):
        def build_datasets(self) -> Splits:
            torch.rand(1000)
            return super().build_datasets()

    runs = [kind(SmallArgs(), machine).run().run_dir for kind in (Experiment[SmallArgs], Wasteful)]
    contents = [(run / "model.safetensors").read_bytes() for run in runs]
    assert contents[0] == contents[1]


def test_randomness_of_a_dataset_follows_the_seed(machine: MachineConfig) -> None:
    """Seeding used to come after the dataset was built."""

    class Random(Experiment[SmallArgs]):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            data: Any = splits.train["train"]
            return replace(splits, train={"train": data.subset(torch.randperm(len(data))[:64])})

    runs = [Random(SmallArgs(seed=seed), machine).run().run_dir for seed in (1, 1, 2)]
    contents = [(run / "model.safetensors").read_bytes() for run in runs]
    assert contents[0] == contents[1] != contents[2]


def test_part_of_the_args_completes_with_its_type(machine: MachineConfig) -> None:
    model = Experiment(SmallArgs(), machine).args.model
    assert isinstance(model, MLPArgs) and model.hidden_sizes == [8]


def test_chain_of_experiments_hands_weights_on(machine: MachineConfig) -> None:
    teacher = Experiment(SmallArgs(epochs=2), machine).run()
    student = Experiment(SmallArgs(epochs=0, from_checkpoint=str(teacher.run_dir)), machine)
    assert student.run(RunOptions(only_test=True)).test == teacher.test


def test_frozen_body_stays_as_it_was(machine: MachineConfig) -> None:
    before = load_file(Experiment(SmallArgs(epochs=0), machine).run().run_dir / "model.safetensors")
    groups: Any = {"body": {"freeze": True}}
    args = SmallArgs(optimizer=AdamArgs(groups=groups))
    after = load_file(Experiment(args, machine).run().run_dir / "model.safetensors")
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"head.weight", "head.bias"}
