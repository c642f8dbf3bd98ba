"""A teacher labels what nobody did, and its student learns from that."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from lab.experiments.self_training.args import SelfTrainingArgs
from lab.experiments.self_training.experiment import SelfTraining
from labwright import MachineConfig
from labwright.datasets import Splits, TensorDataset, ZippedDataset, get_sample
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    def make(kind: type[SelfTraining] = SelfTraining, **fields: Any) -> SelfTraining:
        quick = {"epochs": 2, "model": MLPArgs(hidden_sizes=[32]), "confidence": 0.2}
        return kind(SelfTrainingArgs(**quick | fields), MachineConfig(results_dir=tmp_path / "results", use_cuda=False))

    return make


def history(run: Path, split: str) -> list[dict[str, float | None]]:
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [row["metrics"] for row in rows if row["split"] == split]


@pytest.mark.slow
def test_debug_run_draws_what_the_labels_are_worth(command_line: Callable[..., Any]) -> None:
    ended = command_line("--experiment_id=self_training", "--debug", "--use_cuda=false")
    assert (ended.run / "pseudo_labels.png").is_file() and (ended.run / "confusion.png").is_file()
    assert ended.record["debug"] and ended.record["result"]["best_metric"] == "mean/accuracy"


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_pseudo_labels_are_worth_more_than_the_labels_alone(make: Callable[..., Any]) -> None:
    settings = {
        "epochs": 20,
        "confidence": 0.8,
        "model": MLPArgs(hidden_sizes=[128]),
        "optimizer": AdamArgs(learning_rate=3e-3),
    }
    alone, taught = (make(**settings, pseudo_weight=weight).run().test["accuracy"] for weight in (0, 1))
    assert taught > alone + 0.02


@pytest.mark.usefixtures("no_pictures")
class TestTraining:
    def test_share_and_accuracy_of_the_labels_used_are_kept(self, make: Callable[..., Any]) -> None:
        run = make().run().run_dir
        rows = [json.loads(line) for line in (run / "artifacts" / "pseudo_labels.jsonl").read_text().splitlines()]
        metrics = history(run, "train")
        assert [row["epoch"] for row in rows] == [1, 2]
        assert [row["share"] for row in rows] == [row["pseudo_share"] for row in metrics]
        assert 0 < rows[1]["share"] <= 1 and 0.3 < rows[1]["accuracy"] <= 1

    def test_labels_that_nobody_has_do_not_train(self, make: Callable[..., Any]) -> None:
        class Mistaken(SelfTraining):
            def build_datasets(self) -> Splits:
                splits = super().build_datasets()
                train = splits.train["train"]
                assert isinstance(train, ZippedDataset)
                unlabelled = train.datasets["unlabelled"]
                assert isinstance(unlabelled, TensorDataset)
                unlabelled.targets = (unlabelled.targets + 1) % 10
                return splits

        known, unknown = make().run(), make(Mistaken).run()
        files = [(result.run_dir / "model.safetensors").read_bytes() for result in (known, unknown)]
        assert files[0] == files[1]
        accuracies = [history(result.run_dir, "train")[1]["pseudo_accuracy"] for result in (known, unknown)]
        assert accuracies[0] != accuracies[1]

    def test_a_teacher_that_is_never_sure_leaves_the_labels_alone(self, make: Callable[..., Any]) -> None:
        unsure, alone = (make(**fields).run().run_dir for fields in ({"confidence": 1.0}, {"pseudo_weight": 0.0}))
        assert history(unsure, "train")[0]["pseudo_share"] == 0
        assert history(unsure, "train")[0]["pseudo_accuracy"] is None
        assert history(unsure, "val") == history(alone, "val")

    def test_without_an_average_the_student_teaches_itself(self, make: Callable[..., Any]) -> None:
        assert history(make(ema_decay=None).run().run_dir, "train")[1]["pseudo_share"]

    def test_without_validation_the_last_weights_are_kept(self, make: Callable[..., Any]) -> None:
        result = make(dataset={"val_fraction": 0}, best_model_metric="accuracy").run()
        assert result.best_metric is None and result.weights_epoch == 2


class TestTeacher:
    @pytest.fixture
    def trained(self, make: Callable[..., Any], no_pictures: None) -> SelfTraining:
        class Asked(SelfTraining):
            def on_epoch_end(self) -> None:
                inputs = torch.stack([get_sample(self.splits.test["test"], row)["input"] for row in range(50)])
                before = {name: value.clone() for name, value in self.model.state_dict().items()}
                self.asked = self.ask_teacher(inputs)[0]
                self.kept = all(value.equal(before[name]) for name, value in self.model.state_dict().items())
                assert self.ema is not None
                self.by_student = self.model(inputs).argmax(dim=1)
                with self.ema.applied(self.model):
                    self.by_average = self.model(inputs).argmax(dim=1)

        experiment = make(Asked, ema_decay=0.999, epochs=1)
        experiment.run()
        return experiment

    def test_it_is_the_average_of_the_student_which_stays_as_it_was(self, trained: Any) -> None:
        assert trained.kept
        assert trained.asked.equal(trained.by_average) and not trained.asked.equal(trained.by_student)


class TestDatasets:
    def test_labelled_samples_start_over_beside_the_others(self, make: Callable[..., Any]) -> None:
        train = make(num_labels=30).build_datasets().train["train"]
        batch = train.__getitems__([0, 30, 61])
        assert len(train) == 1258 - 30
        assert batch["input"][0].equal(batch["input"][1]) and not batch["input"][0].equal(batch["input"][2])
        assert batch["unlabelled_index"].tolist() == [0, 30, 61]

    def test_few_labels_are_of_every_class(self, make: Callable[..., Any]) -> None:
        train = make(num_labels=10).build_datasets().train["train"]
        assert sorted(train.datasets["train"].targets.tolist()) == list(range(10))

    def test_noisy_validation_is_the_same_at_each_look(self, make: Callable[..., Any]) -> None:
        first, again = (make().build_datasets().val for _ in range(2))
        noisy = first["val_noisy"].__getitems__([3, 1])["input"]
        assert noisy.equal(again["val_noisy"].__getitems__([3, 1])["input"])
        assert noisy[1].equal(again["val_noisy"].__getitems__([1])["input"][0])
        assert (noisy - first["val"].__getitems__([3, 1])["input"]).std() == pytest.approx(1, abs=0.3)

    def test_more_labels_than_samples_are_refused(self, command_line: Callable[..., Any]) -> None:
        error = command_line("--experiment_id=self_training", "--num_labels=1258", "--use_cuda=false").error
        assert error == "--num_labels=1,258 of 1,258 training samples leaves none unlabelled"
