"""The threshold of a yes or no: one number that the metrics, the predictions and the pictures agree on."""

import csv
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from labwright.args import UserError
from labwright.datasets import DatasetView, Splits
from labwright.session import choose_threshold
from labwright.session.predictions import decode
from labwright.train import Batch, Loss


@pytest.fixture
def one_logit(points: Any) -> Any:
    """Points told apart by a single logit."""

    class OneLogit(points):
        def build_datasets(self) -> Splits:
            return replace(super().build_datasets(), num_outputs=1)

        def compute_loss(self, batch: Batch) -> Loss:
            logits = self.forward(batch)
            loss = F.binary_cross_entropy_with_logits(logits, batch["target"][:, None].float())
            return Loss(loss, {"logits": logits}, len(logits))

    return OneLogit


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("threshold_metric", [None, "balanced_accuracy"])
@pytest.mark.parametrize("single", [False, True])
def test_accuracy_of_the_test_is_that_of_the_predictions_written(
    make: Callable[..., Any], points: Any, one_logit: Any, single: bool, threshold_metric: str | None
) -> None:
    slow = {"kind": "sgd", "learning_rate": 1e-3}  # so that one half is no good threshold
    result = make(one_logit if single else points, optimizer=slow, threshold_metric=threshold_metric).run()
    assert (result.threshold is None) == (threshold_metric is None)
    with result.predictions["test"].open(newline="") as file:
        rows = list(csv.DictReader(file))
    right = [row["target"] == row["prediction"] for row in rows]
    assert result.test["accuracy"] == sum(right) / len(right)


def test_confusion_of_a_single_logit_has_two_classes(make: Callable[..., Any], one_logit: Any) -> None:
    result = make(one_logit, epochs=1).run()
    assert (result.run_dir / "confusion.png").is_file()
    assert result.warnings == []


def test_probabilities_of_unlikely_classes_are_exact() -> None:
    logits = torch.tensor([[40.0], [-40.0]])
    two = torch.cat([torch.zeros(2, 1), logits], dim=1)
    for shape in (logits, logits[:, 0], two):
        torch.testing.assert_close(decode({"logits": shape}, None)["probability"], two.softmax(1), rtol=1e-5, atol=0)


@pytest.mark.usefixtures("no_pictures")
def test_validation_of_one_class_gives_no_threshold_and_a_warning_in_the_result(
    make: Callable[..., Any], points: Any
) -> None:
    class OneSided(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            val = splits.val["val"]
            rows = [row for row in range(len(val)) if val[row]["target"] == 1]
            return replace(splits, val={"val": DatasetView(val, rows)})

    result = make(OneSided, threshold_metric="f1").run()
    assert result.threshold is None
    [warning] = result.warnings
    assert warning == "no threshold was chosen: threshold: targets must be 0 and 1, both; they are [1]"
    assert warning in (result.run_dir / "log.txt").read_text()


def test_without_a_validation_set_that_decides_one_line_says_so(make: Callable[..., Any], points: Any) -> None:
    class Undecided(points):
        def build_datasets(self) -> Splits:
            return replace(super().build_datasets(), demo_only=frozenset({"val"}))

    experiment = make(Undecided)
    experiment.splits = experiment.build_datasets()
    with pytest.raises(UserError, match="--threshold_metric .* no validation set decides"):
        choose_threshold(experiment, "f1")


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize(
    ("predicted", "said"),
    [
        ({"prediction": torch.zeros(20)}, r"predictions of val have index \[20\], target \[20\], prediction \[20\]"),
        ({"probability": torch.ones(20, 3)}, r"probability \[20, 3\]"),
        ({"probability": torch.ones(20)}, r"probability \[20\]"),
        ({}, "predictions of val have nothing"),
    ],
)
def test_predictions_without_probabilities_of_two_classes_are_refused_in_one_line(
    make: Callable[..., Any], points: Any, predicted: dict[str, torch.Tensor], said: str
) -> None:
    class Own(points):
        def predict_batch(self, batch: Batch) -> dict[str, torch.Tensor]:
            return predicted

    with pytest.raises(UserError, match=said) as refused:
        make(Own, threshold_metric="f1").run()
    assert "\n" not in str(refused.value)
