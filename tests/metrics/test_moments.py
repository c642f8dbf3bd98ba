"""Errors and correlation of numbers where they are all alike, small, or one."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import sklearn.metrics
import torch

Measure = Callable[..., dict[str, float]]
sk: Any = sklearn.metrics


def test_small_targets_are_not_taken_for_constant_ones(measure: Measure) -> None:
    """torchmetrics' R2Score is 1.0 for any prediction of targets whose squares sum up to less than 1e-4."""
    target = torch.rand(20, 1) / 1000
    prediction = torch.rand(20, 1) / 1000
    r2 = measure({"regression": ["r2"]}, {"prediction": prediction}, target)["r2"]
    assert r2 == pytest.approx(sk.r2_score(target, prediction), rel=1e-6) and r2 < 0.5


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 + 0.1])
def test_correlation_with_a_constant_is_nan_without_a_warning(measure: Measure, constant: float) -> None:
    target = torch.full((30, 1), constant)
    names = ["r2", "pearson", "spearman", "mse"]
    values = measure({"regression": names}, {"prediction": torch.rand(30, 1)}, target)
    assert [name for name in names if math.isnan(values[name])] == ["r2", "pearson", "spearman"]


def test_one_sample_has_an_error_but_no_correlation(measure: Measure) -> None:
    values = measure(
        {"regression": ["mae", "r2", "pearson", "spearman"]}, {"prediction": torch.ones(1, 1)}, torch.zeros(1)
    )
    assert values.pop("mae") == 1.0 and all(map(math.isnan, values.values()))
