import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from matplotlib.image import imread

from labwright.runs.plots import plot_history
from labwright.runs.plots.style import DPI

Texts = Callable[[Path], list[str]]


def run(num_epochs: int, metrics: Sequence[str] = ("accuracy",), splits: Sequence[str] = ("train", "val")) -> list[Any]:
    """The history of a run whose best epoch is its last but one, tested there."""
    rows: list[Any] = []
    for epoch in range(1, num_epochs + 1):
        for split in splits:
            values = {"loss": 2 / epoch, **{metric: 1 - 1 / (epoch + 1) for metric in metrics}}
            rate = {"learning_rate": 1e-3} if split == "train" else {}
            rows.append({"epoch": epoch, "step": epoch * 10, "split": split, "metrics": values, **rate})
    tested = {"loss": 0.125, **dict.fromkeys(metrics, 0.875)}
    rows.append({"epoch": max(1, num_epochs - 1), "step": 0, "split": "test", "metrics": tested})
    return rows


def test_every_metric_has_a_panel_with_its_values_at_the_best_epoch(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "history.svg"
    plot_history(run(9), path, title="digits", subtitle="run 7", best_epoch=7, best_metric="loss")
    shown = texts(path)
    assert {"digits", "run 7", "Loss", "Accuracy", "Learning rate", "train", "val", "test"} <= set(shown)
    assert "best epoch 7 by val/loss" in shown
    assert "val 0.875 at epoch 7 · test 0.875" in shown
    assert "constant 0.001" in shown


def test_epoch_ticks_are_whole_numbers_from_one(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "history.svg"
    plot_history([row | {"metrics": {}} for row in run(3)], path, title="ticks")
    assert [text for text in texts(path) if text in {"0", "1", "2", "3", "4"} or ".5" in text] == ["1", "2", "3"]


def test_model_without_metrics_still_gets_a_plot(tmp_path: Path, texts: Texts) -> None:
    """A model without metrics used to break the plot."""
    path = tmp_path / "history.svg"
    plot_history([{"epoch": 1, "step": 1, "split": "train", "metrics": {}, "learning_rate": 0.1}], path, title="none")
    assert "Learning rate" in texts(path)
    plot_history([], path, title="nothing")
    assert "No metrics yet" in texts(path)


def test_run_of_zero_epochs_shows_its_test_values(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "history.svg"
    plot_history([{"epoch": 0, "step": 0, "split": "test", "metrics": {"loss": 0.25}}], path, title="only tested")
    assert {"test", "test 0.25"} <= set(texts(path))


def test_values_that_are_not_finite_are_gaps_and_are_counted(tmp_path: Path, texts: Texts) -> None:
    rows = run(8)
    rows[6]["metrics"]["loss"], rows[7]["metrics"]["loss"] = None, math.inf
    for row in rows:
        row["metrics"]["broken"] = math.nan
    path = tmp_path / "history.svg"
    plot_history(rows, path, title="diverged", best_epoch=7, best_metric="val/loss")
    shown = texts(path)
    assert "val 0.2857 at epoch 7 · test 0.125" in shown
    assert "2 not finite" in " ".join(shown)
    assert "no finite value" in shown


def test_each_validation_and_test_set_is_named_with_its_value(tmp_path: Path, texts: Texts) -> None:
    rows = run(5, splits=("train", "val", "val_augmented"))
    rows.append({"epoch": 4, "step": 0, "split": "test_shifted", "metrics": {"loss": 0.375, "accuracy": 0.5}})
    path = tmp_path / "history.svg"
    plot_history(rows, path, title="sets", best_epoch=4, best_metric="val_augmented/loss")
    shown = " ".join(texts(path))
    assert "best epoch 4 by val_augmented/loss" in shown
    for part in ("val 0.5,", "val_augmented 0.5 at epoch 4", "test 0.125,", "test_shifted 0.375"):
        assert part in shown


def test_sets_named_after_data_are_drawn_like_validation_sets(tmp_path: Path, texts: Texts) -> None:
    """Classifiers fitted on several datasets have neither training lines nor a learning rate."""
    path = tmp_path / "history.svg"
    rows = [
        {"epoch": epoch, "step": epoch, "split": split, "metrics": {"accuracy": 0.5 + 0.1 * epoch}}
        for epoch in (1, 2, 3)
        for split in ("digits", "wine", "breast_cancer")
    ]
    plot_history(rows, path, title="baselines", best_epoch=3, best_metric="wine/accuracy")
    shown = texts(path)
    assert {"digits", "wine", "breast_cancer", "best epoch 3 by wine/accuracy", "Accuracy"} <= set(shown)
    assert "digits 0.8, wine 0.8, breast_cancer 0.8" in shown
    assert "Learning rate" not in shown


def test_metric_of_one_split_alone_has_a_panel_with_that_line(tmp_path: Path, texts: Texts) -> None:
    rows = run(4, splits=("train", "train_unlabelled", "val", "val_augmented", "val_shown_only"))
    for row in rows:
        if row["split"] == "train_unlabelled":
            row["metrics"] = {"pseudo_label_share": row["epoch"] / 4}
    path = tmp_path / "history.svg"
    plot_history(rows, path, title="self_training", best_epoch=3, best_metric="val_augmented/loss")
    shown = texts(path)
    assert {"train_unlabelled", "val_shown_only", "Pseudo label share", "train_unlabelled 0.75 at epoch 3"} <= set(
        shown
    )


def test_single_epoch_is_not_marked_as_the_best(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "history.svg"
    plot_history(run(1), path, title="debug", best_epoch=1, best_metric="loss")
    shown = texts(path)
    assert "val 2 at epoch 1 · test 0.125" in shown
    assert not any("best epoch" in text for text in shown)


def test_many_sets_leave_the_panels_as_tall_as_few(tmp_path: Path) -> None:
    few, many = tmp_path / "few.png", tmp_path / "many.png"
    plot_history(run(3, splits=("digits",)), few, title="few")
    plot_history(run(3, splits=[f"a_dataset_with_a_long_name_{index}" for index in range(5)]), many, title="many")
    assert imread(many).shape[0] > imread(few).shape[0] + 0.4 * DPI


def test_markers_are_drawn_while_there_is_room_for_them(tmp_path: Path) -> None:
    few, many = tmp_path / "few.svg", tmp_path / "many.svg"
    plot_history(run(20), few, title="few")
    plot_history(run(500), many, title="many")
    assert few.read_text().count('<use xlink:href="#m') > 100  # each marker is one
    assert many.read_text().count('<use xlink:href="#m') < 60  # ticks and test marks


@pytest.mark.parametrize("num_metrics", [0, 1, 2, 3, 4, 7, 12])
def test_any_number_of_metrics_has_as_many_panels(tmp_path: Path, num_metrics: int) -> None:
    path = tmp_path / "history.svg"
    plot_history(run(2, [f"metric_{index}" for index in range(num_metrics)]), path, title="grid")
    assert path.read_text().count('<g id="axes_') == num_metrics + 2


@pytest.mark.parametrize(
    "losses",
    [[1e308, -1e308, 0.0], [5e-324, 1e-300, 1.0], [1e149, -1e149], [1.0, 1.0 + 1e-15], [0.0, 0.0], [1e-30, 1e140]],
)
def test_extreme_values_are_drawn_without_a_warning(tmp_path: Path, losses: list[float]) -> None:
    rows = [
        {"epoch": epoch, "step": epoch, "split": "train", "metrics": {"loss": loss}, "learning_rate": abs(loss)}
        for epoch, loss in enumerate(losses, start=1)
    ]
    path = tmp_path / "history.png"
    plot_history(rows, path, title="extreme")
    assert path.stat().st_size > 0


def test_ticks_of_a_nearly_constant_large_loss_differ(tmp_path: Path, texts: Texts) -> None:
    rows = [
        {"epoch": epoch, "step": epoch, "split": "val", "metrics": {"loss": 123456789 + epoch}} for epoch in range(3)
    ]
    path = tmp_path / "history.svg"
    plot_history(rows, path, title="flat")
    ticks = [text for text in texts(path) if r"\times" in text]
    assert len(ticks) > 2
    assert len(set(ticks)) == len(ticks)


def test_same_history_gives_the_same_picture(tmp_path: Path) -> None:
    one, other = tmp_path / "one.png", tmp_path / "other.png"
    for path in (one, other):
        plot_history(run(3), path, title="same", best_epoch=2)
    assert one.read_bytes() == other.read_bytes()


def test_names_with_dollar_signs_are_no_formulas(tmp_path: Path, texts: Texts) -> None:
    rows = [{"epoch": 1, "step": 1, "split": "val_$", "metrics": {"cost_$_{": 1.0, "$": 2.0}}]
    path = tmp_path / "history.svg"
    plot_history(rows, path, title="$x_{$", best_epoch=1, best_metric="val_$/$")
    assert "$x_{$" in texts(path)
