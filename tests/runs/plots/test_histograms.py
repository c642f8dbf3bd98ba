from collections.abc import Callable
from math import nan
from pathlib import Path

from labwright.runs.plots import plot_batch_histograms

Texts = Callable[[Path], list[str]]


def test_each_split_has_a_histogram_on_one_scale(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "histograms.svg"
    plot_batch_histograms({"train": [0.1, 0.2, 0.3, 0.9], "val": [0.5]}, "roc_auc", path, "digits")
    shown = texts(path)
    assert {"train", "val", "Batches", "ROC AUC"} <= set(shown)
    assert "4 batches · median 0.25, from 0.1 to 0.9" in shown
    assert "1 batch · median 0.5, from 0.5 to 0.5" in shown
    assert path.read_text().count('<g id="axes_') == 2


def test_values_that_are_not_finite_are_counted(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "histograms.svg"
    plot_batch_histograms({"train": [1.0, nan], "val": []}, "loss", path, "digits")
    shown = texts(path)
    assert "2 batches · median 1, from 1 to 1 · 1 not finite" in shown
    assert "0 batches" in shown


def test_nothing_to_draw_is_an_empty_picture(tmp_path: Path) -> None:
    path = tmp_path / "histograms.png"
    plot_batch_histograms({}, "loss", path, "digits")
    plot_batch_histograms({"train": [nan]}, "loss", path, "digits")
    assert path.read_bytes().startswith(b"\x89PNG")
