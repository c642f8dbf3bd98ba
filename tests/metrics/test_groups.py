import subprocess
import sys
from collections.abc import Callable

import pytest
import torch

from labwright.args import UserError
from labwright.metrics import GROUPS, Metric, build_metrics

Measure = Callable[..., dict[str, float]]


def names_of(metrics: list[Metric]) -> list[str]:
    return [metric.name for metric in metrics]


def test_metrics_come_in_the_order_chosen_and_know_their_direction() -> None:
    metrics = build_metrics({"regression": ["r2", "rmse"], "image_reconstruction": ["psnr"]}, num_outputs=1)
    assert [(metric.name, metric.higher_is_better) for metric in metrics] == [
        ("r2", True),
        ("rmse", False),
        ("psnr", True),
    ]


@pytest.mark.parametrize("group", GROUPS)
def test_every_name_in_the_table_gives_a_number(measure: Measure, group: str) -> None:
    logits, target = torch.randn(30, 6), torch.randint(0, 6, (30,))
    data = {
        "binary_classification": (logits[:, 0], target % 2),
        "multiclass_classification": (logits, target),
        "multilabel_classification": (logits, logits.roll(1, 0) > 0),
        "regression": (logits, logits.roll(1, 0)),
        "segmentation": (logits[..., None, None].expand(-1, -1, 2, 2), target[:, None, None].expand(-1, 2, 2)),
        "image_reconstruction": (torch.rand(30, 1, 6, 6), torch.rand(30, 1, 6, 6)),
    }
    preds, target = data[group]
    values = measure({group: list(GROUPS[group])}, {"preds": preds}, target, num_outputs=6, inputs={"preds": "preds"})
    assert len(values) >= len(GROUPS[group])


def test_nothing_chosen_is_nothing_measured() -> None:
    assert build_metrics({}, num_outputs=3) == []


def test_a_group_without_names_is_refused_with_those_it_has() -> None:
    with pytest.raises(UserError, match="--metrics: segmentation names no metric; known: dice, dice_foreground, .*"):
        build_metrics({"segmentation": []}, num_outputs=3)


def test_a_name_given_twice_counts_once_and_a_single_one_needs_no_list() -> None:
    assert names_of(build_metrics({"regression": ["r2", "mse", "r2"]}, num_outputs=1)) == ["r2", "mse"]
    assert names_of(build_metrics({"regression": "r2"}, num_outputs=1)) == ["r2"]


def test_unknown_group_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError) as refused:
        build_metrics({"binary_clasification": ["f1"]}, num_outputs=1)
    assert str(refused.value) == (
        '--metrics: "binary_clasification" is not one of binary_classification, multiclass_classification, '
        "multilabel_classification, regression, segmentation, image_reconstruction; did you mean binary_classification?"
    )


def test_unknown_metric_is_refused_with_those_of_its_group() -> None:
    with pytest.raises(UserError) as refused:
        build_metrics({"image_reconstruction": ["psnrr"]}, num_outputs=1)
    assert str(refused.value) == (
        '--metrics: image_reconstruction: "psnrr" is not one of nmse, psnr, ssim; did you mean psnr?'
    )


@pytest.mark.parametrize(
    ("chosen", "num_outputs", "message"),
    [
        ({"multiclass_classification": ["accuracy"]}, 1, "needs two classes or more, not 1; try binary_classification"),
        ({"multiclass_classification": ["top5_accuracy"]}, 5, "from six classes on; there are 5"),
        ({"segmentation": ["dice_per_class"]}, 1, "needs several classes; with one output choose dice or iou"),
    ],
)
def test_what_the_outputs_do_not_allow_is_refused_before_training(
    chosen: dict[str, list[str]], num_outputs: int, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_metrics(chosen, num_outputs=num_outputs)


def test_the_same_name_in_two_groups_gets_its_group_before_it() -> None:
    metrics = build_metrics({"regression": ["mse"], "multilabel_classification": ["f1_micro"]}, num_outputs=3)
    assert names_of(metrics) == ["mse", "f1_micro"]
    chosen = {"multiclass_classification": ["f1_micro", "mcc"], "multilabel_classification": ["f1_micro"]}
    assert names_of(build_metrics(chosen, num_outputs=3)) == [
        "multiclass_classification_f1_micro",
        "mcc",
        "multilabel_classification_f1_micro",
    ]


@pytest.mark.parametrize(
    ("class_names", "expected"),
    [
        (("cat", "big dog"), ["f1_cat", "f1_big_dog"]),
        ((), ["f1_0", "f1_1"]),
        (("micro", "dog"), ["f1_0", "f1_1"]),  # f1_micro is something else
        (("a b", "a/b"), ["f1_0", "f1_1"]),
        (("cat", "dog", "bird"), ["f1_0", "f1_1"]),
    ],
)
def test_each_class_gives_its_name_to_its_metric_where_that_will_do(
    class_names: tuple[str, ...], expected: list[str]
) -> None:
    chosen = {"multiclass_classification": ["f1_per_class"]}
    assert names_of(build_metrics(chosen, num_outputs=2, class_names=class_names)) == expected


def test_inputs_name_the_outputs_or_batch_keys_that_are_read(measure: Measure) -> None:
    clean, noisy = torch.rand(9, 1, 8, 8), torch.rand(9, 1, 8, 8)
    outputs, batch = {"restored": clean}, {"clean": clean, "target": noisy}
    inputs = {"preds": "restored", "target": "clean"}
    assert measure({"image_reconstruction": ["nmse"]}, outputs, batch=batch, inputs=inputs) == {"nmse": 0.0}


def test_the_most_particular_entry_of_inputs_wins(measure: Measure) -> None:
    outputs = {"a": torch.zeros(9, 1), "b": torch.ones(9, 1), "c": torch.full((9, 1), 2.0)}
    inputs = {"preds": "a", "regression.preds": "b", "regression.rmse.preds": "c"}
    chosen = {"regression": ["mse", "rmse"], "image_reconstruction": ["psnr"]}
    values = measure(chosen, outputs, torch.zeros(9, 1), inputs=inputs, data_range=1.0)
    assert values == {"mse": 1.0, "rmse": 2.0, "psnr": float("inf")}


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("pred", '--metric_inputs: pred: "pred" is not one of preds, target; did you mean preds?'),
        ("regresion.preds", 'of --metrics, "regresion" is not one of regression; did you mean regression?'),
        ("regression.rmse.preds", 'of --metrics, "rmse" is not one of mse; did you mean mse?'),
    ],
)
def test_an_entry_of_inputs_that_nothing_reads_is_refused(key: str, message: str) -> None:
    with pytest.raises(UserError) as refused:
        build_metrics({"regression": ["mse"]}, num_outputs=1, inputs={key: "x"})
    assert message in str(refused.value)


def fresh(statement: str) -> str:
    done = subprocess.run([sys.executable, "-c", statement], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_names_are_listed_without_importing_torch_or_torchmetrics() -> None:
    statement = """
import sys
from labwright.metrics import GROUPS
assert "f1_macro" in GROUPS["binary_classification"]
print([name for name in ("torch", "torchmetrics", "numpy") if name in sys.modules])
"""
    assert fresh(statement) == "[]"


@pytest.mark.slow
def test_stock_metrics_and_thresholds_do_without_torchmetrics() -> None:
    statement = """
import sys
sys.modules["torchmetrics"] = None
import torch
from labwright.metrics import *
MetricSet([*metrics_for("classification"), *metrics_for("regression"), Perplexity()])
choose_threshold(torch.rand(2), torch.tensor([0, 1]))
print(build_metrics({}, num_outputs=1))
"""
    assert fresh(statement) == "[]"


def test_without_torchmetrics_one_line_says_what_to_install() -> None:
    statement = """
import sys
sys.modules["torchmetrics"] = None
from labwright.metrics import build_metrics
try:
    build_metrics({"regression": ["r2"]}, num_outputs=1)
except ValueError as error:
    print(error)
"""
    assert fresh(statement) == '--metrics needs torchmetrics: pip install "labwright[metrics]"'
