"""Metrics that several ranks have measured parts of become those of the whole."""

import math
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from labwright.args import UserError
from labwright.metrics import Metric, MetricSet, WeightedMean, build_metrics
from labwright.metrics.stock import Accuracy, MeanSquaredError
from labwright.train import Loss


class LargestError(Metric):
    """A maximum says itself how two of it are one."""

    name = "largest"
    higher_is_better = False

    def __init__(self) -> None:
        self.largest = -math.inf

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self.largest = max(self.largest, outputs["logits"].max().item())

    def compute(self) -> float:
        return self.largest

    def merge(self, others: Any, fresh: Any) -> None:
        self.largest = max(self.largest, *(other.largest for other in others))


class Named(LargestError):
    """Holds what does not add up, and does not say what to do."""

    name = "named"
    merge = Metric.merge

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        self.last = {"logits": weight}


def new_metrics() -> MetricSet:
    groups = {"multiclass_classification": ["f1_macro", "roc_auc", "mcc", "ece"]}
    metrics = build_metrics(groups, num_outputs=3)
    return MetricSet([Accuracy(), WeightedMean("own"), LargestError(), *metrics])


def measured(metrics: MetricSet, samples: list[tuple[Tensor, Tensor]]) -> MetricSet:
    for logits, target in samples:
        loss = torch.nn.functional.cross_entropy(logits, target)
        metrics.update(Loss(loss, {"logits": logits, "own": loss * 2}, len(target)), {"target": target})
    return metrics


@pytest.mark.slow
def test_parts_of_unequal_sizes_become_the_whole() -> None:
    generator = torch.Generator().manual_seed(1)
    samples = [
        (torch.randn(n, 3, generator=generator).double(), torch.randint(3, (n,), generator=generator))
        for n in (5, 7, 3, 1, 9)
    ]
    whole = measured(new_metrics(), samples).compute()
    parts = [measured(new_metrics(), samples[:2]), measured(new_metrics(), samples[2:]), new_metrics()]
    parts[0].merge(parts[1:], new_metrics())
    merged = parts[0].compute()
    assert merged == pytest.approx(whole, rel=1e-9)
    assert merged["accuracy"] == whole["accuracy"]


def test_sums_of_regression_add_up() -> None:
    parts = [MetricSet([MeanSquaredError()]) for _ in range(3)]
    for part, error in zip(parts, (1.0, 2.0), strict=False):
        outputs = {"prediction": torch.full((2, 1), error)}
        part.update(Loss(torch.tensor(error), outputs, 2), {"target": torch.zeros(2, 1)})
    parts[0].merge(parts[1:], MetricSet([MeanSquaredError()]))
    assert parts[0].compute() == {"loss": 1.5, "mse": 2.5}


def test_what_does_not_add_up_is_refused() -> None:
    parts = [MetricSet([Named()]), MetricSet([Named()])]
    for weight, part in enumerate(parts, start=1):
        part.update(Loss(torch.tensor(1.0), {"logits": torch.ones(1)}, weight), {})
    with pytest.raises(UserError, match=r"cannot add up Named.last, a dict; give its class a merge"):
        parts[0].merge(parts[1:], MetricSet([Named()]))
