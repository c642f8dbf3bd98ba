"""What is predicted, as columns and as CSV, and that it costs no run."""

import csv
import io
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

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
