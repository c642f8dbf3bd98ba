"""What follows from counts of classes, against scikit-learn and by hand."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labwright.metrics import GROUPS

Measure = Callable[..., dict[str, float]]
Digits = tuple[Tensor, Tensor]
sk: Any = sklearn.metrics


def test_every_class_has_its_own_value(measure: Measure, digits: Digits) -> None:
    logits, labels = digits
    names = ["f1_per_class", "precision_per_class", "recall_per_class"]
    values = measure({"multiclass_classification": names}, {"logits": logits}, labels, num_outputs=10)
    predicted = logits.argmax(1)
    for name, score in (("f1", sk.f1_score), ("precision", sk.precision_score), ("recall", sk.recall_score)):
        expected = score(labels, predicted, average=None)
        assert [values[f"{name}_{digit}"] for digit in range(10)] == pytest.approx(expected.tolist())


def test_classes_neither_there_nor_predicted_do_not_count(measure: Measure) -> None:
    """As in scikit-learn; an 11th class that no sample has would otherwise lower the mean of the other ten."""
    labels, predicted = torch.tensor([0, 0, 1, 2]), torch.tensor([0, 1, 1, 0])
    names = ["f1_macro", "precision_macro", "recall_macro", "balanced_accuracy", "f1_per_class"]
    values = measure({"multiclass_classification": names}, {"logits": torch.eye(5)[predicted]}, labels, num_outputs=5)
    assert values["f1_macro"] == pytest.approx(sk.f1_score(labels, predicted, average="macro"))
    assert values["precision_macro"] == pytest.approx(
        sk.precision_score(labels, predicted, average="macro", zero_division=0)
    )
    assert values["recall_macro"] == pytest.approx(sk.recall_score(labels, predicted, average="macro"))
    assert values["balanced_accuracy"] == pytest.approx(sk.balanced_accuracy_score(labels, predicted))
    assert values["f1_2"] == 0 and math.isnan(values["f1_3"])


@pytest.mark.parametrize("sizes", [[3], [50]])
def test_dice_and_iou_are_those_of_all_pixels_of_the_split(measure: Measure, sizes: list[int]) -> None:
    logits, target = torch.randn(50, 4, 9, 7), torch.randint(0, 3, (50, 9, 7))
    predicted = logits.argmax(1)
    dice, iou = [], []
    for each in range(4):
        both = ((predicted == each) & (target == each)).sum().item()
        either = ((predicted == each) | (target == each)).sum().item()
        iou.append(both / either)
        dice.append(2 * both / (both + either))
    values = measure(
        {"segmentation": list(GROUPS["segmentation"])}, {"logits": logits}, target, sizes=sizes, num_outputs=4
    )
    assert values == pytest.approx(
        {
            "dice": np.mean(dice),
            "dice_foreground": np.mean(dice[1:]),
            "iou": np.mean(iou),
            "iou_foreground": np.mean(iou[1:]),
            "pixel_accuracy": (predicted == target).double().mean().item(),
            **{f"dice_{each}": dice[each] for each in range(4)},
            **{f"iou_{each}": iou[each] for each in range(4)},
        }
    )


@pytest.mark.parametrize("channel", [True, False])
def test_one_output_is_the_foreground(measure: Measure, channel: bool) -> None:
    mask, logits = torch.rand(20, 1, 9, 7) < 0.3, torch.randn(20, 1, 9, 7)
    names = ["dice", "dice_foreground", "iou", "iou_foreground", "pixel_accuracy"]
    called = logits.sigmoid() > 0.7
    outputs = {"logits": logits if channel else logits[:, 0]}
    values = measure({"segmentation": names}, outputs, mask[:, 0].float(), threshold=0.7)
    iou = ((called & mask).sum() / (called | mask).sum()).item()
    assert values["iou"] == values["iou_foreground"] == pytest.approx(iou)
    assert values["dice"] == values["dice_foreground"] == pytest.approx(2 * iou / (1 + iou))
    assert values["pixel_accuracy"] == pytest.approx((called == mask).double().mean().item())


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=12))
@settings(deadline=None)
def test_counts_agree_with_scikit_learn_where_they_are_few(measure: Measure, samples: list[tuple[bool, bool]]) -> None:
    called, labels = (torch.tensor(values) for values in zip(*samples, strict=True))
    names = ["precision", "recall", "f1", "f1_macro", "f1_micro", "accuracy"]
    values = measure({"binary_classification": names}, {"logits": called.float() - 0.5}, labels, sizes=[5])
    expected = {
        "precision": sk.precision_score(labels, called, zero_division=0),
        "recall": sk.recall_score(labels, called, zero_division=0),
        "f1": sk.f1_score(labels, called, zero_division=0),
        "f1_macro": sk.f1_score(labels, called, average="macro", zero_division=0),
        "f1_micro": sk.f1_score(labels, called, average="micro", zero_division=0),
        "accuracy": sk.accuracy_score(labels, called),
    }
    assert values == pytest.approx(expected)
