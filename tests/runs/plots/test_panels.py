import math
from typing import Any

import pytest

from labwright.runs.plots.panels import Panel, sort_into_panels, splits_of


def row(epoch: int, split: str, learning_rate: float | None = None, **metrics: Any) -> dict[str, Any]:
    rate = {} if learning_rate is None else {"learning_rate": learning_rate}
    return {"epoch": epoch, "step": epoch * 10, "split": split, "metrics": metrics, **rate}


def panel(name: str, values: list[float]) -> Panel:
    made = Panel(name)
    for epoch, value in enumerate(values, start=1):
        made.add("train", epoch, value)
    return made


def test_loss_comes_first_and_learning_rate_last() -> None:
    panels = sort_into_panels([row(1, "train", 0.1, accuracy=0.5, loss=1.0, f1=0.2), row(1, "val", loss=2.0)])
    assert [panel.name for panel in panels] == ["loss", "accuracy", "f1", "learning_rate"]


def test_no_rows_and_no_metrics_give_no_metric_panels() -> None:
    assert sort_into_panels([]) == []
    assert [panel.name for panel in sort_into_panels([row(1, "train", 0.1)])] == ["learning_rate"]


def test_epoch_repeated_by_a_resumed_run_counts_once_with_its_later_value() -> None:
    (loss,) = sort_into_panels([row(1, "val", loss=3.0), row(2, "val", loss=2.0), row(2, "val", loss=1.0)])
    assert (loss.series["val"].epochs, loss.series["val"].values) == ([1, 2], [3.0, 1.0])


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf, 1e308, 10**400])
def test_value_that_cannot_be_drawn_is_a_gap(value: float | None) -> None:
    (loss,) = sort_into_panels([row(1, "val", loss=1.0), row(2, "val", loss=value)])
    assert math.isnan(loss.series["val"].values[1])
    assert (loss.finite, loss.num_gaps) == ([1.0], 1)


def test_splits_are_ordered_by_what_they_are_for() -> None:
    names = ["test", "val_augmented", "train", "test_shifted", "val"]
    panels = sort_into_panels([row(1, name, loss=1.0) for name in names])
    assert splits_of(panels) == ["train", "val_augmented", "val", "test", "test_shifted"]


@pytest.mark.parametrize(
    ("name", "values", "logarithmic"),
    [
        ("loss", [100.0, 10.0, 0.5], True),
        ("loss", [100.0, 10.0, 2.0], False),
        ("loss", [100.0, 1.0, 0.0], False),
        ("loss", [100.0, -1.0], False),
        ("val_mse", [1e6, 1.0], True),
        ("accuracy", [0.001, 0.9], False),
        ("learning_rate", [1e-3] * 8 + [1e-4, 1e-5], True),
        ("learning_rate", [0.5**epoch for epoch in range(20)], True),
        ("learning_rate", [1 + math.cos(math.pi * epoch / 21) for epoch in range(20)], False),
        ("learning_rate", [1e-3] * 20, False),
        ("learning_rate", [1e-3, 1e-4], False),
        ("loss", [], False),
        ("loss", [math.nan], False),
    ],
)
def test_only_what_a_linear_axis_would_flatten_is_logarithmic(
    name: str, values: list[float], logarithmic: bool
) -> None:
    assert panel(name, values).is_logarithmic is logarithmic
