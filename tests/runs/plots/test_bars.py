from collections.abc import Callable
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright.runs.plots import plot_bars

Texts = Callable[[Path], list[str]]


def names_in(shown: list[str], names: set[str]) -> list[str]:
    return [text for text in shown if text in names]


def test_candidates_stand_in_one_order_the_best_mean_first(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "baselines.svg"
    values = {"digits": {"majority": 0.1, "svm": 0.98, "forest": 0.97}, "wine": {"forest": 0.99, "svm": 1.0}}
    plot_bars(values, path, "baselines", value_label="Accuracy", subtitle="validation")
    shown = texts(path)
    assert {"digits", "wine", "0.98", "0.97", "0.1", "0.99", "1"} <= set(shown)
    assert "validation · Accuracy, higher is better; sorted by the mean" in shown
    assert names_in(shown, {"svm", "forest", "majority"}) == ["svm", "forest", "majority"]
    assert "-" in shown  # the majority class was not asked on wine


def test_lower_may_be_better(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "errors.svg"
    plot_bars({"d": {"tree": 2.0, "ridge": 1.0}}, path, "t", value_label="MSE", lower_is_better=True)
    shown = texts(path)
    assert names_in(shown, {"tree", "ridge"}) == ["ridge", "tree"]
    assert "MSE, lower is better; sorted by the mean" in shown


def test_values_that_are_not_finite_have_no_bar_and_come_last(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "bars.svg"
    plot_bars({"d": {"a": nan, "b": 0.5, "c": inf}}, path, "t", value_label="R²")
    shown = texts(path)
    assert names_in(shown, {"a", "b", "c"}) == ["b", "a", "c"]
    assert shown.count("NaN") == 2


@pytest.mark.parametrize(
    "values",
    [
        {"$": {"$a": 1, "b": np.float32(0.25), "c": np.int64(0)}},
        {"a": {"x": -2.0, "y": -0.5}},
        {"a": {"x": 0.0}},
        {"a": {"x": nan}, "b": {}},
        {"large": {"x": 3000.0}, "small": {"x": 0.02}},
        {f"set {index}": {f"candidate {row}": row / 30 for row in range(30)} for index in range(9)},
    ],
)
def test_every_table_is_drawn(tmp_path: Path, values: dict[str, Any]) -> None:
    path = tmp_path / "bars.png"
    plot_bars(values, path, "t", value_label="Value")
    assert path.read_bytes().startswith(b"\x89PNG")


def test_numbers_of_numpy_are_numbers(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "bars.svg"
    values: dict[str, Any] = {"d": {"a": np.float32(0.25)}}
    plot_bars(values, path, "t", value_label="Value")
    assert "0.25" in texts(path)


def test_no_values_say_so(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "bars.svg"
    for values in ({}, {"a": {}}):
        plot_bars(values, path, "t", value_label="Value")
        assert "No values to show" in texts(path)
