import math

import pytest
import torch

from labwright.metrics import build_metrics
from labwright.metrics.feed import GroupMetric

BINARY = {"binary_classification": ["f1", "roc_auc"]}


def test_no_batch_gives_nan_without_a_warning() -> None:
    for metric in build_metrics(BINARY | {"segmentation": ["dice_per_class"]}, num_outputs=3):
        assert math.isnan(metric.compute())


def test_an_empty_batch_changes_nothing() -> None:
    [metric] = build_metrics({"regression": ["mse"]}, num_outputs=1)
    for size in (0, 3, 0):
        metric.update({"prediction": torch.ones(size, 1)}, {"target": torch.zeros(size, 1)}, weight=size)
    assert metric.compute() == 1.0


def test_metrics_built_together_take_each_batch_once() -> None:
    f1, auc = build_metrics(BINARY, num_outputs=1)
    for logits, target in ((torch.tensor([3.0, -1.0]), [1, 0]), (torch.tensor([1.0, 2.0]), [0, 1])):
        for metric in (f1, auc):
            metric.update({"logits": logits}, {"target": torch.tensor(target)}, weight=2)
    assert f1.compute() == pytest.approx(0.8) and auc.compute() == 1.0


def test_metrics_built_together_refuse_different_batches() -> None:
    f1, auc = build_metrics(BINARY, num_outputs=1)
    f1.update({"logits": torch.ones(2)}, {"target": torch.tensor([0, 1])}, weight=2)
    with pytest.raises(RuntimeError, match="metrics built together take every batch in turn"):
        auc.update({"logits": torch.ones(2)}, {"target": torch.tensor([0, 1])}, weight=2)


def test_a_value_in_the_middle_of_a_pass_does_not_disturb_the_rest() -> None:
    [metric] = build_metrics({"regression": ["mae"]}, num_outputs=1)
    for number, mean in ((1.0, 1.0), (3.0, 2.0), (5.0, 3.0)):
        metric.update({"prediction": torch.full((1, 1), number)}, {"target": torch.zeros(1, 1)}, weight=1)
        assert metric.compute() == metric.compute() == mean


def test_outputs_written_to_the_same_memory_again_and_again_are_all_counted() -> None:
    """A model under CUDA graphs, or one with out=, gives the same tensor for every batch."""
    [metric] = build_metrics({"regression": ["mae"]}, num_outputs=1)
    prediction, target = torch.zeros(2, 1), torch.zeros(2, 1)
    for number in (1.0, 2.0, 3.0):
        metric.update({"prediction": prediction.fill_(number)}, {"target": target}, weight=2)
    assert metric.compute() == 2.0


def test_metrics_begun_under_inference_mode_go_on_outside() -> None:
    metrics = build_metrics(BINARY, num_outputs=1)
    for inference in (True, False, True):
        with torch.inference_mode(inference):
            outputs = {"logits": torch.randn(5, requires_grad=not inference) * 2}
            for metric in metrics:
                metric.update(outputs, {"target": torch.tensor([0, 1, 0, 1, 1])}, weight=5)
    with torch.inference_mode():
        first = [metric.compute() for metric in metrics]
    assert [metric.compute() for metric in metrics] == first


def test_batches_of_images_of_different_sizes_are_counted_together() -> None:
    dice, accuracy = build_metrics({"segmentation": ["dice", "pixel_accuracy"]}, num_outputs=1)
    for side, value in ((4, 1.0), (2, -1.0), (2, 1.0)):
        outputs = {"logits": torch.full((1, 1, side, side), value)}
        for metric in (dice, accuracy):
            metric.update(outputs, {"target": torch.ones(1, side, side)}, weight=1)
    assert accuracy.compute() == 20 / 24
    assert dice.compute() == pytest.approx(40 / 44)


@pytest.mark.parametrize("group", ["binary_classification", "regression"])
def test_nan_among_the_predictions_is_not_hidden(group: str) -> None:
    """A NaN is not more than any threshold: the sample would count as negative."""
    [metric] = build_metrics({group: ["f1" if group == "binary_classification" else "spearman"]}, num_outputs=1)
    for number, target in ((1.0, 1.0), (math.nan, 0.0), (-1.0, 0.0), (2.0, 1.0)):
        preds = torch.tensor([number])
        metric.update({"logits": preds, "prediction": preds}, {"target": torch.tensor([target])}, weight=1)
    assert math.isnan(metric.compute())


def test_wrong_shapes_are_found_in_the_first_batch_and_not_after_an_epoch() -> None:
    [metric] = build_metrics({"multiclass_classification": ["f1_macro"]}, num_outputs=3)
    with pytest.raises(ValueError, match=r"predictions are \[4, 5\], targets \[4\]; wanted: .* with 3 classes"):
        metric.update({"logits": torch.zeros(4, 5)}, {"target": torch.zeros(4)}, weight=4)


def test_state_does_not_grow_with_the_split_where_counts_will_do() -> None:
    """The feed lets go of its batches; only curves keep every score."""
    [metric] = build_metrics({"binary_classification": ["f1"]}, num_outputs=1)
    assert isinstance(metric, GroupMetric)
    for _ in range(2000):
        metric.update({"logits": torch.ones(1)}, {"target": torch.ones(1)}, weight=1)
    assert len(metric._feed._chunk[0]) < 512
