import math
from collections.abc import Callable
from typing import Any

import pytest
import torch

from labwright.args import UserError
from labwright.metrics import build_metrics

Measure = Callable[..., dict[str, float]]
LOGITS = torch.tensor([-2.0, 0.5, 3.0, -0.1, 1.0])
LABELS = torch.tensor([0, 1, 1, 1, 0])
NAMES = {"binary_classification": ["f1", "roc_auc", "ece"]}


@pytest.mark.parametrize(
    "outputs",
    [
        {"logits": LOGITS},
        {"logits": LOGITS[:, None]},
        {"logits": torch.stack([torch.ones(5), LOGITS + 1], dim=1)},
        {"probability": LOGITS.sigmoid()},
        {"probability": torch.stack([1 - LOGITS.sigmoid(), LOGITS.sigmoid()], dim=1)},
        {"probability": LOGITS.sigmoid(), "logits": torch.zeros(5)},
        {"logits": LOGITS.double()},
    ],
)
@pytest.mark.parametrize("target", [LABELS, LABELS.float()[:, None], LABELS.bool()])
def test_binary_predictions_come_in_many_shapes(
    measure: Measure, outputs: dict[str, torch.Tensor], target: torch.Tensor
) -> None:
    expected = measure(NAMES, {"logits": LOGITS}, LABELS)
    assert measure(NAMES, outputs, target, sizes=[2]) == pytest.approx(expected, rel=1e-5)


def test_half_precision_logits_are_judged_in_single_precision(measure: Measure) -> None:
    for logits in (LOGITS.bfloat16(), torch.stack([LOGITS.roll(1), LOGITS], dim=1).bfloat16()):
        assert measure(NAMES, {"logits": logits}, LABELS) == measure(NAMES, {"logits": logits.float()}, LABELS)


def test_logits_of_sequences_have_their_classes_last(measure: Measure) -> None:
    logits, target = torch.randn(4, 6, 3), torch.randint(0, 3, (4, 6))
    chosen = {"multiclass_classification": ["f1_macro", "roc_auc"]}
    flat = measure(chosen, {"logits": logits.flatten(0, 1)}, target.flatten(), num_outputs=3)
    assert measure(chosen, {"logits": logits}, target, num_outputs=3, sizes=[3]) == pytest.approx(flat)


def test_targets_that_cross_entropy_ignores_are_ignored(measure: Measure) -> None:
    logits, target = torch.randn(3, 2, 4, 4), torch.randint(0, 2, (3, 4, 4))
    ignored = torch.rand(target.shape) < 0.3
    values = measure(
        {"segmentation": ["dice", "pixel_accuracy"]},
        {"logits": logits},
        target.masked_fill(ignored, -100),
        num_outputs=2,
    )
    right = (logits.argmax(1) == target)[~ignored].double().mean().item()
    assert values["pixel_accuracy"] == pytest.approx(right)


@pytest.mark.parametrize(("ignored", "expected"), [(2, 1.0), (3, 1.0), (5, math.nan)])
def test_batches_in_which_every_target_is_ignored_do_not_count(measure: Measure, ignored: int, expected: float) -> None:
    target = (LOGITS > 0).long()
    target[:ignored] = -100
    values = measure(NAMES | {"segmentation": ["dice"]}, {"logits": LOGITS[:, None]}, target[:, None], sizes=[1])
    assert [values["f1"], values["dice"]] == pytest.approx([expected, expected], nan_ok=True)


def test_labels_serve_as_predictions_but_not_for_curves(measure: Measure) -> None:
    predicted, target = torch.tensor([0, 2, 1, 1]), torch.tensor([0, 2, 2, 1])
    settings: dict[str, Any] = {"num_outputs": 3, "inputs": {"preds": "prediction"}}
    group = "multiclass_classification"
    assert measure({group: ["accuracy"]}, {"prediction": predicted}, target, **settings) == {"accuracy": 0.75}
    with pytest.raises(UserError, match="auc, ece and top5 need probabilities or logits, not labels"):
        measure({group: ["roc_auc"]}, {"prediction": predicted}, target, **settings)


def test_label_maps_serve_as_predicted_segments(measure: Measure) -> None:
    target = torch.randint(0, 3, (2, 1, 4, 4))
    outputs = {"prediction": target[:, 0]}
    chosen = {"segmentation": ["dice"]}
    assert measure(chosen, outputs, target, num_outputs=3, inputs={"preds": "prediction"}) == {"dice": 1.0}


def test_a_list_of_numbers_in_the_batch_serves_as_target(measure: Measure) -> None:
    values = measure({"regression": ["mae"]}, {"prediction": torch.ones(3, 1)}, batch={"target": [1.0, 2.0, 3.0]})
    assert values == {"mae": 1.0}


def test_a_missing_key_is_named_with_those_there_are(measure: Measure) -> None:
    with pytest.raises(UserError) as refused:
        measure({"image_reconstruction": ["psnr"]}, {"image": torch.ones(2, 1)}, batch={"input": torch.ones(2)})
    assert str(refused.value) == (
        "--metrics: image_reconstruction reads reconstruction or prediction as its preds, but the step's outputs are "
        "loss, image and the batch has input; name one of these: "
        """--metric_inputs='{"image_reconstruction.preds": "KEY"}'"""
    )
    with pytest.raises(UserError, match="regression reads clean as its target, .* the batch has nothing; name one"):
        measure({"regression": ["r2"]}, {"prediction": torch.ones(2, 1)}, inputs={"target": "clean"})


@pytest.mark.parametrize(
    ("group", "num_outputs", "preds", "target", "message"),
    [
        ("binary_classification", 1, torch.zeros(4, 3), torch.zeros(4), r"reads \[n\], .* predictions are \[4, 3\]"),
        ("binary_classification", 1, torch.zeros(4), torch.zeros(3), r"predictions are \[4\], targets \[3\]"),
        ("binary_classification", 1, torch.zeros(4), torch.zeros(4, 2), r"predictions are \[4\], but targets are"),
        ("binary_classification", 1, torch.zeros(4), torch.full((4,), 2), "from 0 to 1; there is 2"),
        ("binary_classification", 1, torch.zeros(4), torch.full((4,), 0.9), "from 0 to 1; there is 0.9"),
        ("multiclass_classification", 3, torch.zeros(4, 3), torch.full((4,), 3), "from 0 to 2; there is 3"),
        ("multiclass_classification", 3, torch.zeros(4, 3), torch.full((4,), -1), "from 0 to 2; there is -1"),
        ("multiclass_classification", 3, torch.full((4,), 5), torch.zeros(4), "from 0 to 2; there is 5"),
        ("multilabel_classification", 3, torch.zeros(4, 2), torch.zeros(4, 2), r"wanted: both \[n, 3\]"),
        ("regression", 1, torch.zeros(4), torch.zeros(4, 1), r"predictions are \[4\], but targets are \[4, 1\]"),
        ("segmentation", 1, torch.zeros(4), torch.zeros(4), r"wanted: \[n, height, width\] or more"),
        ("segmentation", 1, torch.zeros(4, 1, 5, 5), torch.zeros(4, 5, 6), "but targets are"),
        ("segmentation", 3, torch.zeros(4, 3, 5, 5), torch.zeros(4, 5, 6), "wanted: .* with 3 classes"),
        ("segmentation", 3, torch.zeros(4, 2, 5, 5), torch.zeros(4, 5, 5), "wanted: .* with 3 classes"),
        ("image_reconstruction", 1, torch.zeros(4, 1, 5, 5), torch.zeros(4, 5, 5), "but targets are"),
    ],
)
def test_predictions_and_targets_that_do_not_fit_are_refused(
    measure: Measure, group: str, num_outputs: int, preds: torch.Tensor, target: torch.Tensor, message: str
) -> None:
    names = {"regression": "mse", "segmentation": "dice", "image_reconstruction": "nmse"}
    chosen = {group: [names.get(group, "f1_macro")]}
    with pytest.raises(ValueError, match=message):
        measure(chosen, {"preds": preds}, target, num_outputs=num_outputs, inputs={"preds": "preds"})


def test_logits_under_the_name_of_probabilities_are_refused(measure: Measure) -> None:
    with pytest.raises(UserError, match="binary_classification: -2 is no probability; name logits something else"):
        measure(NAMES, {"probability": LOGITS}, LABELS)


def test_columns_that_change_between_batches_are_refused() -> None:
    [metric] = build_metrics({"regression": ["r2"]}, num_outputs=1)
    metric.update({"prediction": torch.ones(2, 3)}, {"target": torch.ones(2, 3)}, weight=2)
    metric.update({"prediction": torch.ones(2, 4)}, {"target": torch.ones(2, 4)}, weight=2)
    with pytest.raises(UserError, match="the same columns in every batch, not 3 and 4"):
        metric.compute()
