import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, mean_absolute_error, mean_squared_error

from labwright.metrics import (
    Accuracy,
    MeanAbsoluteError,
    MeanSquaredError,
    Metric,
    MetricSet,
    Perplexity,
    WeightedMean,
    metrics_for,
    positive_probability,
)


def over_batches(metric: Metric, key: str, outputs: torch.Tensor, targets: torch.Tensor, batch_size: int = 7) -> float:
    for output, target in zip(outputs.split(batch_size), targets.split(batch_size), strict=True):
        metric.update({key: output}, {"target": target}, weight=len(target))
    return metric.compute()


def test_accuracy_agrees_with_scikit_learn() -> None:
    logits, target = torch.randn(50, 3), torch.randint(0, 3, (50,))
    assert over_batches(Accuracy(), "logits", logits, target) == accuracy_score(target, logits.argmax(1))


def test_accuracy_counts_the_short_last_batch_by_its_size() -> None:
    """T: epoch metrics were unweighted means over batches."""
    logits, target = torch.eye(2)[torch.tensor([0, 0, 0, 0, 1])], torch.zeros(5, dtype=torch.int64)
    assert over_batches(Accuracy(), "logits", logits, target, batch_size=4) == 0.8


@given(
    st.lists(st.sampled_from([(4, 3), (4, 3), (4, 3), (1, 3), (7, 3), (4, 5), (2000, 3)]), min_size=1, max_size=12),
    st.sampled_from(["own memory", "same memory", "two in turns"]),
    st.integers(-1, 11),
)
@settings(deadline=None, max_examples=60)
def test_accuracy_is_the_same_however_batches_come(
    shapes: list[tuple[int, int]], memory: str, saved_after: int
) -> None:
    """Small batches wait for each other: whatever they are kept in, and wherever the pass is interrupted."""
    torch.manual_seed(0)
    metric, num_right, num_targets = Accuracy(), 0, 0
    outputs, classes = torch.empty(2, 10_000), torch.empty(2, 2000, dtype=torch.int64)
    for number, (num_samples, num_classes) in enumerate(shapes):
        logits, target = torch.randn(num_samples, num_classes), torch.randint(num_classes, (num_samples,))
        num_right += int((logits.argmax(1) == target).sum())
        num_targets += num_samples
        if memory != "own memory":
            turn = number % 2 if memory == "two in turns" else 0
            logits = outputs[turn, : logits.numel()].view(logits.shape).copy_(logits)
            target = classes[turn, :num_samples].copy_(target)
        metric.update({"logits": logits}, {"target": target}, num_samples)
        if number == saved_after:
            state = MetricSet([metric]).state_dict()
            metric = Accuracy()
            MetricSet([metric]).load_state_dict(state)
    assert metric.compute() == pytest.approx(num_right / num_targets, abs=1e-12)


def test_accuracy_keeps_no_large_outputs() -> None:
    """Those of a language model would be there twice; for the last words of texts, as often as batches wait."""
    metric, logits = Accuracy(), torch.randn(2000, 5)
    kept = weakref.ref(logits)
    metric.update({"logits": logits}, {"target": torch.zeros(2000, dtype=torch.int64)}, 2000)
    metric.update({"logits": logits[-4:]}, {"target": torch.zeros(4, dtype=torch.int64)}, 4)
    metric.update({"logits": logits[:4]}, {"target": torch.zeros(4, dtype=torch.int64)}, 4)
    del logits
    assert kept() is None


def test_accuracy_does_not_depend_on_the_weight_of_the_loss() -> None:
    metric = Accuracy()
    metric.update({"logits": torch.eye(2)}, {"target": torch.tensor([0, 0])}, weight=17.5)
    assert metric.compute() == 0.5


@given(st.lists(st.tuples(st.floats(-9, 9), st.booleans()), min_size=1, max_size=30), st.sampled_from([None, 0.2, 0.9]))
@settings(deadline=None, max_examples=50)
def test_accuracy_of_two_classes_is_that_of_scikit_learn_at_the_threshold_in_every_shape(
    samples: list[tuple[float, bool]], threshold: float | None
) -> None:
    yes, target = torch.tensor([value for value, _ in samples]), torch.tensor([label for _, label in samples]).long()
    expected = accuracy_score(target, yes.sigmoid() > (threshold or 0.5))
    single = yes[:, None]
    for logits, label in (
        (yes, target),
        (single, target),
        (single, target.float()[:, None]),
    ):
        assert over_batches(Accuracy(threshold), "logits", logits, label) == pytest.approx(expected)
    two = torch.stack([torch.zeros(len(yes)), yes], dim=1)
    if threshold is not None:
        assert over_batches(Accuracy(threshold), "logits", two, target) == pytest.approx(expected)
    assert over_batches(Accuracy(), "logits", two, target) == accuracy_score(target, two.argmax(1))


def test_one_logit_is_not_taken_for_the_only_class() -> None:
    """argmax over one column calls everything class 0."""
    [accuracy] = metrics_for("classification")
    assert over_batches(accuracy, "logits", torch.tensor([[3.0], [-2.0], [1.0]]), torch.tensor([1, 0, 1])) == 1.0


def test_threshold_leaves_several_classes_alone() -> None:
    logits, target = torch.randn(50, 3), torch.randint(0, 3, (50,))
    [accuracy] = metrics_for("classification", threshold=0.9)
    assert over_batches(accuracy, "logits", logits, target) == accuracy_score(target, logits.argmax(1))


def test_probability_of_yes_comes_from_every_shape_of_logits() -> None:
    yes = torch.tensor([-2.0, 0.5, 3.0])
    two = torch.stack([torch.ones(3), yes + 1], dim=1)
    for logits in (yes, yes[:, None], two, two.bfloat16()):
        torch.testing.assert_close(positive_probability(logits), yes.sigmoid())
    torch.testing.assert_close(positive_probability(two.expand(4, 3, 2)), yes.sigmoid().expand(4, 3))


@pytest.mark.parametrize("columns", [1, 3])
@pytest.mark.parametrize(
    ("metric_class", "reference"), [(MeanSquaredError, mean_squared_error), (MeanAbsoluteError, mean_absolute_error)]
)
def test_errors_agree_with_scikit_learn(metric_class: type[Metric], reference: object, columns: int) -> None:
    prediction, target = torch.randn(50, columns), torch.randn(50, columns)
    assert callable(reference)
    expected = reference(target.numpy(), prediction.numpy())
    assert over_batches(metric_class(), "prediction", prediction, target) == pytest.approx(expected, rel=1e-6)


def test_a_single_target_column_may_come_as_a_list() -> None:
    prediction = torch.tensor([[1.0], [2.0], [3.0]])
    assert over_batches(MeanSquaredError(), "prediction", prediction, torch.tensor([1.0, 2.0, 6.0])) == 3.0


def test_shapes_that_would_compare_every_prediction_with_every_target_are_refused() -> None:
    with pytest.raises(ValueError, match=r"accuracy: predictions are \[4\], but targets are \[4, 1\]"):
        Accuracy().update({"logits": torch.zeros(4, 2)}, {"target": torch.zeros(4, 1)}, weight=4)
    with pytest.raises(ValueError, match=r"mse: predictions are \[4\], but targets are \[4, 1\]"):
        MeanSquaredError().update({"prediction": torch.zeros(4)}, {"target": torch.zeros(4, 1)}, weight=4)


def test_half_precision_predictions_are_judged_against_full_precision_targets() -> None:
    prediction = torch.full((4, 1), 1.0, dtype=torch.bfloat16)
    assert over_batches(MeanAbsoluteError(), "prediction", prediction, torch.full((4, 1), 1.001)) == pytest.approx(
        0.001, rel=1e-3
    )


def test_each_task_has_its_metrics_and_every_call_gives_new_ones() -> None:
    assert [(metric.name, metric.higher_is_better) for metric in metrics_for("classification")] == [("accuracy", True)]
    assert [(metric.name, metric.higher_is_better) for metric in metrics_for("regression")] == [
        ("mse", False),
        ("mae", False),
    ]
    assert metrics_for("regression")[0] is not metrics_for("regression")[0]


def test_perplexity_is_that_of_all_tokens_and_not_a_mean_over_batches() -> None:
    metric = Perplexity()
    metric.update({"loss": torch.tensor(1.0)}, {}, weight=30)
    metric.update({"loss": torch.tensor(4.0)}, {}, weight=10)
    assert metric.compute() == pytest.approx(math.exp(1.75))


@pytest.mark.parametrize(("loss", "expected"), [(1000.0, math.inf), (math.inf, math.inf), (0.0, 1.0)])
def test_perplexity_of_a_hopeless_model_is_infinite(loss: float, expected: float) -> None:
    metric = Perplexity("token_loss")
    metric.update({"token_loss": torch.tensor(loss)}, {}, weight=1)
    assert metric.compute() == expected


def test_perplexity_of_nothing_is_nan() -> None:
    assert math.isnan(Perplexity().compute())


def test_metrics_keep_nothing_of_a_batch_that_is_filled_anew_or_has_a_graph() -> None:
    accuracy, loss = Accuracy(), WeightedMean()
    weight = torch.eye(2, requires_grad=True)
    inputs, target = torch.empty(2, 2), torch.empty(2, dtype=torch.int64)
    for rows, classes in (([[1.0, 0.0], [1.0, 0.0]], [0, 0]), ([[0.0, 1.0], [0.0, 1.0]], [1, 0])):
        inputs.copy_(torch.tensor(rows))
        target.copy_(torch.tensor(classes))
        hidden = inputs @ weight
        graph = weakref.ref(hidden)
        accuracy.update({"logits": hidden}, {"target": target}, 2)
        loss.add(hidden.sum(), 1)
        del hidden
        assert graph() is None
    assert (accuracy.compute(), loss.compute()) == (0.75, 2.0)
