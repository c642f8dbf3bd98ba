import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from labwright.args import UserError
from labwright.metrics import build_metrics, choose_threshold, positive_probability

SCORE = {"f1": sk.f1_score, "accuracy": sk.accuracy_score, "balanced_accuracy": sk.balanced_accuracy_score}
few_values = st.sampled_from([0.0, 0.25, 0.5, 0.500000001, 0.75, 1.0])
samples = st.lists(st.tuples(few_values | st.floats(0, 1), st.booleans()), min_size=2, max_size=30).filter(
    lambda pairs: len({label for _, label in pairs}) == 2
)


@pytest.mark.parametrize("metric", SCORE)
@given(samples, st.sampled_from([np.float32, np.float64]))
@settings(deadline=None, max_examples=50)
def test_no_other_threshold_is_better(metric: str, samples: list[tuple[float, bool]], dtype: type) -> None:
    scores, labels = np.array([score for score, _ in samples], dtype), np.array([label for _, label in samples])

    def quality(threshold: float) -> float:
        return SCORE[metric](labels, torch.tensor(scores) > threshold)

    chosen = choose_threshold(scores, labels, metric)
    others = [-1.0, *scores.tolist()]
    assert quality(chosen) == pytest.approx(max(map(quality, others)))
    best = [other for other in others if quality(other) == pytest.approx(quality(chosen))]
    called = (torch.tensor(scores) > chosen).sum()
    assert called == min((torch.tensor(scores) > other).sum() for other in best)  # of equals, the largest threshold


def test_threshold_lies_halfway_between_the_classes() -> None:
    assert choose_threshold(torch.tensor([0.1, 0.2, 0.6, 0.9]), torch.tensor([0, 0, 1, 1])) == pytest.approx(0.4)


def test_neighbouring_floats_are_told_apart() -> None:
    lower = np.float32(0.5)
    upper = np.nextafter(lower, np.float32(1))
    scores = torch.tensor([lower, upper])
    threshold = choose_threshold(scores, torch.tensor([0, 1]))
    assert (scores > threshold).tolist() == [False, True]


def test_calling_all_or_none_positive_may_be_best() -> None:
    scores = torch.tensor([0.0, 0.2, 0.9])
    assert (scores > choose_threshold(scores, torch.tensor([1, 1, 0]), "f1")).all()
    assert not (scores > choose_threshold(scores, torch.tensor([1, 0, 0]), "accuracy")).any()


def test_arrays_and_tensors_of_any_type_give_the_same() -> None:
    scores, labels = np.linspace(0, 1, 11)[:, None], np.arange(11) > 6
    scores.flags.writeable = False
    expected = choose_threshold(scores, labels)
    assert expected == pytest.approx(0.65)
    assert choose_threshold(torch.tensor(scores, requires_grad=True), torch.tensor(labels).float()) == expected


@pytest.mark.parametrize(
    ("scores", "targets", "message"),
    [
        ([0.1, 0.2], [1, 1], r"targets must be 0 and 1, both; they are \[1\]"),
        ([0.1, 0.2], [1, 2], r"they are \[1, 2\]"),
        ([], [], "they are none"),
        ([0.1], [0, 1], "there are 1 scores for 2 targets"),
        ([0.1, math.nan], [0, 1], "some scores are NaN"),
    ],
)
def test_where_there_is_nothing_to_choose_one_line_says_why(
    scores: list[float], targets: list[int], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        choose_threshold(np.array(scores), np.array(targets))


def test_unknown_criterion_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match='"F1" is not one of f1, accuracy, balanced_accuracy'):
        choose_threshold(np.array([0.0, 1.0]), np.array([0, 1]), "F1")


def test_samples_that_cross_entropy_ignores_do_not_count() -> None:
    scores, targets = torch.tensor([0.1, 0.2, 0.6, 0.9, 0.99]), torch.tensor([0, 0, 1, 1, -100])
    assert choose_threshold(scores, targets) == choose_threshold(scores[:4], targets[:4])


@pytest.mark.parametrize("num_columns", [0, 1, 2])
def test_chosen_threshold_is_the_best_for_the_metrics_of_the_same_logits(num_columns: int) -> None:
    yes, labels = torch.randn(200), torch.rand(200).round().long()
    yes += labels * 2 - 3
    logits = [yes, yes[:, None], torch.stack([torch.ones(200), yes + 1], dim=1)][num_columns]
    probability = positive_probability(logits)
    threshold = choose_threshold(probability, labels, "f1")

    def f1(threshold: float) -> float:
        [metric] = build_metrics({"binary_classification": ["f1"]}, num_outputs=1, threshold=threshold)
        metric.update({"logits": logits}, {"target": labels}, weight=200)
        return metric.compute()

    assert f1(threshold) == pytest.approx(max(f1(other) for other in probability.tolist()))
    assert f1(threshold) > f1(0.5)
