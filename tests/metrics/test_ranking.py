"""What equal scores and scores that are no numbers come to."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from labwright.metrics.ranking import TopFive
from labwright.metrics.readings import ClassReading

Measure = Callable[..., dict[str, float]]
NUM_CLASSES = 10
LABELS = torch.arange(30) % NUM_CLASSES


def of_classes(measure: Measure, logits: torch.Tensor) -> dict[str, float]:
    names = ["top5_accuracy", "roc_auc", "pr_auc"]
    return measure({"multiclass_classification": names}, {"logits": logits}, LABELS, num_outputs=NUM_CLASSES)


def test_a_model_that_finds_all_classes_equally_likely_is_right_by_chance() -> None:
    """It was always among the five likeliest, since no class was likelier."""

    def top_five(*rows: list[Any]) -> float:
        gauge = TopFive()
        gauge.update(
            ClassReading("", torch.tensor(rows).float(), torch.zeros(len(rows), dtype=torch.int64), False, None)
        )
        return gauge.compute()["top5_accuracy"].item()

    assert top_five([0.0] * 10) == 0.5
    assert top_five([0, 1, 1, 1, 1, 0, 0, 0]) == 0.25, "one of four has the fifth place"
    assert top_five([0, 1, 1, 1, 1, 1, 0]) == 0 and top_five([1, 1, 1, 1, 1, 0]) == 1
    assert top_five([math.inf, *[math.inf] * 9], [math.nan] * 10, [math.nan, *[1.0] * 9]) == pytest.approx(0.5)


def test_scores_that_are_no_numbers_rank_nothing(measure: Measure) -> None:
    """They counted as above all others, and a model that had diverged could have an area of 0.75."""
    logits = torch.nn.functional.one_hot(LABELS, NUM_CLASSES).float()
    assert of_classes(measure, logits) == {"top5_accuracy": 1, "roc_auc": 1, "pr_auc": 1}
    for diverged in (math.nan, math.inf):  # the probabilities of one that is infinite are no numbers either
        logits[3, 3] = diverged
        values = of_classes(measure, logits)
        assert math.isnan(values["roc_auc"]) and math.isnan(values["pr_auc"])
