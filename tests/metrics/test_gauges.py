"""Each metric against scikit-learn, scipy or its formula, on the same arrays."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import scipy.stats
import sklearn.metrics
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from labwright.metrics import GROUPS

Measure = Callable[..., dict[str, float]]
Digits = tuple[Tensor, Tensor]
sk: Any = sklearn.metrics
batchings = st.lists(st.integers(1, 400), min_size=1, max_size=20)


def calibration_error(confidence: Tensor, is_right: Tensor) -> float:
    bins = (confidence * 15).long().clamp(max=14)
    gaps = [(confidence[bins == b] - is_right[bins == b].float()).sum().abs().item() for b in range(15)]
    return sum(gaps) / len(confidence)


@pytest.mark.parametrize("sizes", [[7], [1000]])
@pytest.mark.parametrize("threshold", [None, 0.2])
def test_binary_metrics_agree_with_scikit_learn(
    measure: Measure, digits: Digits, sizes: list[int], threshold: float | None
) -> None:
    others = [digit for digit in range(10) if digit != 8]
    logits, labels = digits[0][:, 8] - digits[0][:, others].max(1).values, (digits[1] == 8).long()
    probability = logits.sigmoid()
    called = probability > (threshold or 0.5)
    names = list(GROUPS["binary_classification"])
    outputs = {"logits": logits}
    values = measure({"binary_classification": names}, outputs, labels, sizes=sizes, threshold=threshold)
    assert 0.5 < values["f1"] < 1
    assert values == pytest.approx(
        {
            "accuracy": sk.accuracy_score(labels, called),
            "balanced_accuracy": sk.balanced_accuracy_score(labels, called),
            "precision": sk.precision_score(labels, called),
            "recall": sk.recall_score(labels, called),
            "specificity": sk.recall_score(labels, called, pos_label=0),
            "f1": sk.f1_score(labels, called),
            "f1_micro": sk.f1_score(labels, called, average="micro"),
            "f1_macro": sk.f1_score(labels, called, average="macro"),
            "roc_auc": sk.roc_auc_score(labels, logits),
            "pr_auc": sk.average_precision_score(labels, logits),
            "mcc": sk.matthews_corrcoef(labels, called),
            "cohen_kappa": sk.cohen_kappa_score(labels, called),
            "ece": calibration_error(probability, labels),
        },
        rel=1e-6,
    )


@pytest.mark.parametrize("sizes", [[7], [1000]])
def test_multiclass_metrics_agree_with_scikit_learn(measure: Measure, digits: Digits, sizes: list[int]) -> None:
    logits, labels = digits
    probability, predicted = logits.softmax(1), logits.argmax(1)
    names = [name for name in GROUPS["multiclass_classification"] if not name.endswith("_per_class")]
    values = measure({"multiclass_classification": names}, {"logits": logits}, labels, sizes=sizes, num_outputs=10)
    assert 0.7 < values["f1_macro"] < 1
    one_hot = torch.nn.functional.one_hot(labels, 10)
    exact = logits.double().softmax(1)
    expected = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted),
        "top5_accuracy": sk.top_k_accuracy_score(labels, logits, k=5),
        "roc_auc": sk.roc_auc_score(labels, exact, multi_class="ovr"),
        "pr_auc": sk.average_precision_score(one_hot, probability),
        "mcc": sk.matthews_corrcoef(labels, predicted),
        "cohen_kappa": sk.cohen_kappa_score(labels, predicted),
        "ece": calibration_error(probability.max(1).values, predicted == labels),
    }
    for average in ("micro", "macro"):
        expected[f"precision_{average}"] = sk.precision_score(labels, predicted, average=average)
        expected[f"recall_{average}"] = sk.recall_score(labels, predicted, average=average)
        expected[f"f1_{average}"] = sk.f1_score(labels, predicted, average=average)
    assert values == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("sizes", [[7], [1000]])
def test_multilabel_metrics_agree_with_scikit_learn(measure: Measure, digits: Digits, sizes: list[int]) -> None:
    logits = (digits[0][:, :4] + 12).contiguous()
    wanted = torch.stack([digits[1] % 2 == 0, digits[1] < 4, digits[1] == 2, digits[1] > 6], dim=1).long()
    called = logits.sigmoid() > 0.5
    names = [name for name in GROUPS["multilabel_classification"] if not name.endswith("_per_class")]
    values = measure({"multilabel_classification": names}, {"logits": logits}, wanted, sizes=sizes, num_outputs=4)
    expected = {
        "exact_match": sk.accuracy_score(wanted, called),
        "hamming_loss": sk.hamming_loss(wanted, called),
        "roc_auc": sk.roc_auc_score(wanted, logits),
        "pr_auc": sk.average_precision_score(wanted, logits),
    }
    for average in ("micro", "macro"):
        expected[f"precision_{average}"] = sk.precision_score(wanted, called, average=average)
        expected[f"recall_{average}"] = sk.recall_score(wanted, called, average=average)
        expected[f"f1_{average}"] = sk.f1_score(wanted, called, average=average)
    assert values == pytest.approx(expected, rel=1e-6)


def test_a_single_label_is_a_multilabel_task_too(measure: Measure) -> None:
    outputs = {"logits": torch.tensor([[1.0], [-1.0], [1.0]])}
    names = ["f1_macro", "exact_match", "f1_per_class"]
    values = measure({"multilabel_classification": names}, outputs, torch.tensor([[1], [0], [0]]))
    assert values == pytest.approx({"f1_macro": 2 / 3, "exact_match": 2 / 3, "f1_0": 2 / 3})


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize("offset", [0.0, 1e4])
def test_regression_metrics_agree_with_scikit_learn_and_scipy(measure: Measure, columns: int, offset: float) -> None:
    target = torch.randn(500, columns, dtype=torch.float64).round(decimals=1) + offset
    prediction = target + torch.randn(500, columns, dtype=torch.float64)
    values = measure({"regression": list(GROUPS["regression"])}, {"prediction": prediction}, target)
    x, y = prediction.numpy(), target.numpy()
    spearman: Any = scipy.stats.spearmanr
    assert values == pytest.approx(
        {
            "mse": sk.mean_squared_error(y, x),
            "rmse": math.sqrt(sk.mean_squared_error(y, x)),
            "mae": sk.mean_absolute_error(y, x),
            "r2": sk.r2_score(y, x),
            "pearson": np.mean([np.corrcoef(x[:, column], y[:, column])[0, 1] for column in range(columns)]),
            "spearman": np.mean([spearman(x[:, column], y[:, column])[0] for column in range(columns)]),
        },
        rel=1e-9,
    )


def test_ranks_of_many_equal_targets_do_not_overflow(measure: Measure) -> None:
    """torchmetrics' SpearmanCorrCoef adds ranks in 32 bits."""
    target = torch.arange(200_000) % 3
    prediction = target + torch.rand(200_000)
    value = measure({"regression": ["spearman"]}, {"prediction": prediction}, target, sizes=[50_000])["spearman"]
    assert value == pytest.approx(scipy.stats.spearmanr(prediction, target)[0], rel=1e-9)


@pytest.fixture(scope="session")
def small_chunks() -> Iterator[None]:
    """Three batches are a chunk, so that a short split has many."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("labwright.metrics.feed._MOST_BATCHES", 3)
        yield


@pytest.mark.usefixtures("small_chunks")
@given(batchings)
@settings(deadline=None, max_examples=15)
def test_no_classification_metric_depends_on_the_batches(measure: Measure, digits: Digits, sizes: list[int]) -> None:
    logits, labels = digits
    odd = logits[:, 1::2].logsumexp(1) - logits[:, 0::2].logsumexp(1)
    wanted = torch.stack([labels < 4, labels == 2, labels > 6], dim=1)

    def values(sizes: list[int]) -> list[dict[str, float]]:
        return [
            measure({group: list(GROUPS[group])}, {"logits": outputs}, target, sizes=sizes, num_outputs=num_outputs)
            for group, outputs, target, num_outputs in (
                ("binary_classification", odd, labels % 2, 1),
                ("multiclass_classification", logits, labels, 10),
                ("multilabel_classification", logits[:, :3] + 12, wanted, 3),
            )
        ]

    for ours, at_once in zip(values(sizes), values([800]), strict=True):
        assert ours == pytest.approx(at_once, rel=1e-6)


@pytest.mark.usefixtures("small_chunks")
@given(batchings)
@settings(deadline=None, max_examples=15)
def test_no_metric_of_numbers_or_pixels_depends_on_the_batches(measure: Measure, sizes: list[int]) -> None:
    generator = torch.Generator().manual_seed(0)
    clean = torch.rand(60, 1, 8, 8, generator=generator)
    noisy = clean + torch.rand(clean.shape, generator=generator)

    def values(sizes: list[int]) -> list[dict[str, float]]:
        images = {"image_reconstruction": ["nmse", "psnr", "ssim"]}
        numbers = {"regression": list(GROUPS["regression"])}
        return [
            measure(images, {"reconstruction": noisy}, clean, sizes=sizes),
            measure(images, {"reconstruction": noisy}, clean, sizes=sizes, data_range=1.0),
            measure(numbers, {"prediction": noisy.flatten(1)}, clean.flatten(1), sizes=sizes),
            measure({"segmentation": ["dice", "iou"]}, {"logits": noisy - 1}, (clean > 0.8).long(), sizes=sizes),
        ]

    for ours, at_once in zip(values(sizes), values([60]), strict=True):
        assert ours == pytest.approx(at_once, rel=1e-9)


def test_auc_is_that_of_the_split_and_not_a_mean_over_batches(measure: Measure) -> None:
    """B: AUC was averaged over batches. Each batch ranks its samples rightly here, the split does not."""
    logits = torch.tensor([0.1, 0.2, 5.1, 5.2, -3.0, -2.9])
    labels = torch.tensor([0, 1, 0, 1, 0, 1])
    values = measure({"binary_classification": ["roc_auc", "pr_auc"]}, {"logits": logits}, labels, sizes=[2])
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, logits)) != 1.0
    assert values["pr_auc"] == pytest.approx(sk.average_precision_score(labels, logits)) != 1.0


def test_auc_where_only_one_class_occurs_is_nan_without_a_warning(measure: Measure) -> None:
    names = ["roc_auc", "pr_auc", "f1", "accuracy", "mcc", "recall"]
    for label, nan in ((0, ["roc_auc", "pr_auc"]), (1, ["roc_auc"])):
        values = measure({"binary_classification": names}, {"logits": torch.randn(9)}, torch.full((9,), label))
        assert [name for name, value in values.items() if math.isnan(value)] == nan


def test_auc_of_many_classes_is_the_mean_of_those_that_occur(measure: Measure, digits: Digits) -> None:
    logits, labels = digits[0][digits[1] < 9], digits[1][digits[1] < 9]
    values = measure({"multiclass_classification": ["roc_auc", "pr_auc"]}, {"logits": logits}, labels, num_outputs=10)
    one_hot, probability = torch.nn.functional.one_hot(labels, 10)[:, :9], logits.double().softmax(1)[:, :9]
    assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(one_hot, probability), rel=1e-6)
    assert values["pr_auc"] == pytest.approx(sk.average_precision_score(one_hot, probability), rel=1e-6)


def test_auc_tells_confident_scores_apart_that_a_sigmoid_would_round_to_one(measure: Measure) -> None:
    logits, labels = torch.tensor([40.0, 50.0, 60.0, 70.0]), torch.tensor([0, 0, 1, 1])
    assert len(logits.sigmoid().unique()) == 1
    assert measure({"binary_classification": ["roc_auc"]}, {"logits": logits}, labels) == {"roc_auc": 1.0}
    two = torch.stack([torch.zeros(4), logits, torch.full((4,), -5.0)], dim=1)
    values = measure({"multiclass_classification": ["roc_auc"]}, {"logits": two}, labels, num_outputs=3)
    assert values == {"roc_auc": 1.0}


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=40))
@settings(deadline=None)
def test_auc_agrees_with_scikit_learn_on_ties(measure: Measure, samples: list[tuple[int, bool]]) -> None:
    logits, labels = (torch.tensor(values, dtype=torch.float32) for values in zip(*samples, strict=True))
    values = measure({"binary_classification": ["roc_auc", "pr_auc"]}, {"logits": logits}, labels, sizes=[3])
    if labels.unique().numel() == 2:
        assert values["roc_auc"] == pytest.approx(sk.roc_auc_score(labels, logits), rel=1e-6)
        assert values["pr_auc"] == pytest.approx(sk.average_precision_score(labels, logits), rel=1e-6)
