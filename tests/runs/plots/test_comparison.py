import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from labwright.runs.listing.summary import lower_is_better
from labwright.runs.plots.comparison import plot_comparison

Texts = Callable[[Path], list[str]]
Rows = list[dict[str, Any]]


def history(losses: Sequence[float], split: str = "val") -> Rows:
    return [
        {"epoch": epoch, "step": 10 * epoch, "split": split, "metrics": {"loss": loss, "accuracy": 1 - loss}}
        for epoch, loss in enumerate(losses, start=1)
    ]


def draw(path: Path, curves: dict[str, list[Rows]], *metrics: str) -> Path:
    plot_comparison(curves, path, "digits", metrics=metrics or ("val/loss",), is_lower_better=lower_is_better)
    return path


def test_each_run_has_a_curve_in_each_panel_and_its_name_in_the_legend(tmp_path: Path, texts: Texts) -> None:
    runs = {"lr=0.1": [history([0.5, 0.25])], "$lr=1": [history([0.5, math.nan])]}
    shown = texts(draw(tmp_path / "a.svg", runs, "val/loss", "val/accuracy", "val/missing"))
    assert {"digits", "lr=0.1", "$lr=1", "Loss (val)", "Accuracy (val)", "Epoch"} <= set(shown)
    assert {"lowest 0.25: lr=0.1 · 1 not finite", "highest 0.75: lr=0.1 · 1 not finite"} <= set(shown)
    assert "Missing (val)" not in shown


def test_a_group_says_how_its_mean_and_band_are_read(tmp_path: Path, texts: Texts) -> None:
    group = [history([0.5, 0.25, 0.2]), history([0.4, 0.3]), []]
    shown = texts(draw(tmp_path / "a.svg", {"lr=0.1 (3 runs)": group, "lr=1 (1 run)": [history([0.9])]}))
    assert "line: mean, band: ± 1 standard deviation, thin: single runs" in shown


def test_of_too_many_runs_the_first_are_named_and_the_others_counted(tmp_path: Path, texts: Texts) -> None:
    runs = {f"seed={seed}": [history([1.0, 1 / (seed + 1)])] for seed in range(100)}
    shown = texts(draw(tmp_path / "a.svg", runs))
    assert [text for text in shown if text.startswith("seed=")] == [f"seed={seed}" for seed in range(5)]
    assert "95 others" in shown


@pytest.mark.parametrize("curves", [{}, {"a": [[]]}, {"a": [history([0.1], split="test")], "b": [[], []]}])
def test_nothing_to_draw_says_so(tmp_path: Path, texts: Texts, curves: dict[str, list[Rows]]) -> None:
    assert "No metrics to draw" in texts(draw(tmp_path / "a.svg", curves))


@pytest.mark.parametrize(
    "group",
    [
        [[math.nan, math.nan], [math.nan, 0.1]],
        [[1e200, 1.0], [0.5, 0.5]],
        [[100.0, 0.001], [1.0, 0.01], [0.1]],
        [[0.0], [0.0, 0.0]],
        [[-1.0, 5e-324], [1.0, 1.0]],
    ],
)
def test_extreme_groups_are_drawn_without_a_warning(tmp_path: Path, group: list[list[float]]) -> None:
    path = draw(tmp_path / "a.png", {"a": [history(losses) for losses in group], "b": [history([math.nan])]})
    assert path.read_bytes().startswith(b"\x89PNG")
