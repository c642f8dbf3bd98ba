from typing import Any

import numpy as np
import pytest
import torch

from labwright.metrics import Metric, MetricSet, Perplexity, WeightedMean, metrics_for
from labwright.train import Loss


def test_the_loss_comes_first_and_everything_is_weighted_by_samples() -> None:
    """T: epoch metrics were unweighted means over batches, so that the short last batch counted too much."""
    metrics = MetricSet(metrics_for("classification"))
    right, wrong = torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 1.0]])
    target = torch.zeros(3, dtype=torch.int64)
    metrics.update(Loss(torch.tensor(1.0), {"logits": right.expand(3, 2)}, 3), {"target": target})
    metrics.update(Loss(torch.tensor(5.0), {"logits": wrong}, 1), {"target": target[:1]})
    assert metrics.compute() == {"loss": pytest.approx(2.0), "accuracy": pytest.approx(0.75)}
    assert list(metrics.compute()) == ["loss", "accuracy"]


def test_metric_may_compute_any_kind_of_number() -> None:
    """A np.float32 cannot be written as JSON: the run ended after its first epoch."""

    class Constant(Metric):
        name, higher_is_better = "constant", True

        def update(self, outputs: Any, batch: Any, weight: float) -> None: ...

        def compute(self) -> Any:
            return np.float32(0.5)

    assert type(MetricSet([Constant()]).compute()["constant"]) is float


def test_metrics_are_given_the_loss_too() -> None:
    metrics = MetricSet([Perplexity(), WeightedMean("penalty")])
    metrics.update(Loss(torch.tensor(0.0), {"penalty": torch.tensor(2.0)}, 4), {})
    assert metrics.compute() == {"loss": 0.0, "perplexity": 1.0, "penalty": 2.0}
