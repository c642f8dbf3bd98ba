from collections.abc import Callable
from pathlib import Path

import numpy as np

from labwright.runs.plots import plot_regression

Texts = Callable[[Path], list[str]]


def test_goodness_of_fit_is_written(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "regression.svg"
    plot_regression(np.array([0.0, 2.0, 4.0]), np.array([[1.0], [2.0], [3.0]]), path, "diabetes · test")
    shown = texts(path)
    assert {"diabetes · test", "3 samples", "True value", "Predicted value"} <= set(shown)
    assert "R² 0.75 · RMSE 0.8165" in shown


def test_first_four_of_many_targets_are_shown(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "regression.svg"
    values = np.random.default_rng(0).normal(size=(30, 6))
    plot_regression(values, values, path, "t", target_names=("height", "mass", "$", "d", "e", "f"))
    shown = texts(path)
    assert "30 samples · the first 4 of 6 targets" in shown
    assert {"height", "mass", "$", "d"} <= set(shown)
    assert "e" not in shown


def test_pairs_that_are_not_finite_are_counted(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "regression.svg"
    plot_regression(np.array([1.0, 2.0, np.nan]), np.array([1.0, np.inf, 3.0]), path, "t")
    assert "R² undefined · RMSE 0 · 2 not finite" in texts(path)


def test_no_samples_are_no_error(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "regression.svg"
    plot_regression(np.array([]), np.array([]), path, "t")
    assert "no finite value" in texts(path)
