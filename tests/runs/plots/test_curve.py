from collections.abc import Callable
from math import inf, nan
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.runs.plots import plot_curve
from labwright.runs.plots.curve import running_mean

Texts = Callable[[Path], list[str]]


def test_smoothed_curve_says_what_it_shows(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "rewards.svg"
    rewards = np.arange(1.0, 101.0, dtype=np.float32)
    plot_curve(
        {"reward": rewards}, path, "cartpole", x_label="Episode", y_label="Reward", smooth=10, levels={"$olved": 90}
    )
    shown = texts(path)
    assert {"cartpole", "Episode", "Reward", "$olved", "at the end 95.5"} <= set(shown)
    assert "faint: single values, line: mean of the last 10" in shown


def test_several_curves_have_a_legend_and_their_last_values(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "rewards.svg"
    plot_curve({"a$": [1, 2], "b": [3.5, nan, inf]}, path, "t", x_label="Episode", y_label="Reward")
    shown = texts(path)
    assert {"a$", "b", "at the end a$ 2, b NaN · 2 not finite"} <= set(shown)


def test_values_stand_where_they_were_measured(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "rewards.svg"
    plot_curve({"a": [1, 2]}, path, "t", x_label="Steps", y_label="Reward", positions={"a": [1000, 2000]})
    assert {"1000", "2000"} <= set(texts(path))


@pytest.mark.parametrize("values", [{}, {"a": []}, {"a": [nan, nan]}, {"a": [], "b": []}])
def test_nothing_to_draw_says_so(tmp_path: Path, texts: Texts, values: dict[str, list[float]]) -> None:
    path = tmp_path / "rewards.svg"
    plot_curve(values, path, "t", x_label="Episode", y_label="Reward", smooth=5)
    assert "no finite value" in texts(path)


@pytest.mark.parametrize("values", [[1.0], [1e300, 1.0], [5e-324, 1.0], [3.0] * 1000])
def test_extreme_curves_are_drawn_without_a_warning(tmp_path: Path, values: list[float]) -> None:
    path = tmp_path / "rewards.png"
    plot_curve({"a": values}, path, "t", x_label="Episode", y_label="Reward", smooth=3)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_what_cannot_be_drawn_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    with pytest.raises(ValueError, match="smooth must be at least 1 value, not 0"):
        plot_curve({"a": [1]}, path, "t", x_label="x", y_label="y", smooth=0)
    with pytest.raises(ValueError, match=r"values\['a'\] must be one number after another, not \[2, 2\]"):
        plot_curve({"a": np.zeros((2, 2))}, path, "t", x_label="x", y_label="y")
    with pytest.raises(ValueError, match=r"positions\['a'\] must be 2 numbers, one per value, not \[0\]"):
        plot_curve({"a": [1, 2]}, path, "t", x_label="x", y_label="y", positions={"b": [1, 2]})


@given(st.lists(st.floats(-1e6, 1e6) | st.just(nan), max_size=30), st.integers(1, 40))
def test_running_mean_is_that_of_the_finite_values_in_the_window(values: list[float], window: int) -> None:
    means = running_mean(np.array(values), window)
    for end, mean in enumerate(means, start=1):
        finite = [value for value in values[max(0, end - window) : end] if value == value]
        assert mean == pytest.approx(sum(finite) / len(finite), abs=1e-6) if finite else np.isnan(mean)


def test_running_mean_forgets_a_value_that_was_huge() -> None:
    assert running_mean(np.array([1e149, 1.0, 2.0, 3.0]), 2).tolist()[2:] == [1.5, 2.5]
