"""Metrics that several ranks have measured parts of become those of the whole."""

import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from labwright.args import UserError
from labwright.metrics import Metric, MetricSet, WeightedMean, build_metrics
from labwright.metrics.merging import merge_attributes
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
        self.last = ("logits", weight)


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
    with pytest.raises(UserError, match=r"cannot add up Named.last, a tuple; give its class a merge"):
        parts[0].merge(parts[1:], MetricSet([Named()]))


class Holding:
    """What a metric holds, as its attributes."""

    def __init__(self, **held: Any) -> None:
        vars(self).update(held)


def together(fresh: dict[str, Any], *parts: dict[str, Any]) -> dict[str, Any]:
    own, *others = (Holding(**part) for part in parts)
    merge_attributes(own, others, Holding(**fresh), "Mine")
    return vars(own)


def test_counts_by_key_add_up_also_where_ranks_counted_the_same() -> None:
    fresh: dict[str, Any] = {"seen": {}, "of_class": {"a": 2}}
    one, other = {"seen": {"x": 1}, "of_class": {"a": 3}}, {"seen": {"x": 1, "y": [4]}, "of_class": {"a": 5}}
    assert together(fresh, one, other) == {"seen": {"x": 2, "y": [4]}, "of_class": {"a": 6}}


def test_settings_stay_and_what_was_seen_is_united() -> None:
    fresh = {"sizes": (torch.ones(2), 3), "k": 10, "by_name": {"w": np.ones(2)}, "labels": {"a"}, "kind": None}
    one = fresh | {"labels": {"a", "b"}, "kind": "rgb"}
    merged = together(fresh, one, fresh | {"labels": {"a", "c"}})
    assert merged["sizes"][1] == 3
    assert merged["by_name"]["w"].tolist() == [1, 1]
    assert (merged["k"], merged["labels"], merged["kind"]) == (10, {"a", "b", "c"}, "rgb")


@pytest.mark.parametrize(
    ("fresh", "held", "said"),
    [
        (None, 10, "cannot tell whether Mine.held is a sum or a setting: it begins as None"),
        ((), (1, torch.ones(2)), "cannot add up Mine.held, a tuple"),
    ],
    ids=["number", "tuple"],
)
def test_what_may_mean_either_is_refused_where_all_ranks_have_it_too(fresh: Any, held: Any, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)):
        together({"held": fresh}, {"held": held}, {"held": held})


def test_a_mean_over_nothing_counts_nothing() -> None:
    mean = WeightedMean("loss")
    mean.add(torch.tensor(2.0), 3)
    mean.add(torch.tensor(float("nan")), 0)
    assert mean.compute() == 2.0
