"""What is predicted, as columns and as CSV, and that it costs no run."""

import csv
import io
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from labwright.datasets import JoinedDataset, Splits
from labwright.session.predictions import Predictions

pytestmark = pytest.mark.usefixtures("no_pictures")


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_classes_are_named_beside_their_numbers() -> None:
    found = Predictions([], {"target": np.array([0, 1]), "prediction": np.array([1, 1])})
    assert read(found.to_csv(("cat", "dog")))[0] == {
        "target": "0",
        "prediction": "1",
        "target_name": "cat",
        "prediction_name": "dog",
    }
    assert found.to_csv(("cat", "dog")).startswith("target,prediction,target_name,prediction_name\n")


def test_columns_of_columns_get_a_number_each_and_no_name() -> None:
    found = Predictions([], {"prediction": np.array([[0, 1], [1, 0]])})
    assert read(found.to_csv(("cat", "dog"))) == [
        {"prediction_0": "0", "prediction_1": "1"},
        {"prediction_0": "1", "prediction_1": "0"},
    ]


def test_prediction_that_fails_is_a_warning_and_the_run_is_finished(make: Callable[..., Any], points: Any) -> None:
    class Unsure(points):
        def predict_batch(self, batch: Any) -> dict[str, torch.Tensor]:
            raise RuntimeError("no idea")

    result = make(Unsure).run()
    assert result.test["accuracy"] > 0
    assert "no idea" in (result.run_dir / "log.txt").read_text()
    assert '"status": "finished"' in (result.run_dir / "run.json").read_text()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_predictions_in_half_precision_are_written(make: Callable[..., Any], points: Any, dtype: torch.dtype) -> None:
    class Half(points):
        def predict_batch(self, batch: Any) -> dict[str, torch.Tensor]:
            return {"prediction": torch.full((len(batch["input"]),), 0.5, dtype=dtype)}

    result = make(Half, epochs=1).run()
    assert {row["prediction"] for row in read(result.predictions["test"].read_text())} == {"0.5"}


def test_rows_of_joined_test_sets_say_which_set_and_where_in_it(make: Callable[..., Any], points: Any) -> None:
    class Joined(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            test = splits.test["test"]
            parts = {"near": test.subset(range(5)), "far": test.subset(range(5, 20))}
            return replace(splits, test={"both": JoinedDataset(parts), "one": JoinedDataset({"near": parts["near"]})})

    result = make(Joined, epochs=1, batch_size=4).run()
    both, one = (result.predictions[name].read_text() for name in ("both", "one"))
    assert both.startswith("index,source,source_index,target,prediction,confidence\n")
    assert [(row["source"], row["source_index"]) for row in read(both)] == [
        *(("near", str(index)) for index in range(5)),
        *(("far", str(index)) for index in range(15)),
    ]
    assert one.startswith("index,target,prediction,confidence\n")


def test_data_whose_source_is_something_else_is_predicted_without_it(make: Callable[..., Any], points: Any) -> None:
    class Pairs(points):
        def prepare_batch(self, batch: Any, *, training: bool) -> Any:
            batch = super().prepare_batch(batch, training=training)
            return batch | {"source": batch["input"].reshape(-1, 1, 2)}

    result = make(Pairs, epochs=1).run()
    assert result.predictions["test"].read_text().startswith("index,target,prediction,confidence\n")
