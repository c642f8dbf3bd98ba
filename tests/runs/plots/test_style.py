from collections.abc import Callable
from math import nan
from pathlib import Path

import numpy as np
import pytest
from matplotlib.image import imread
from matplotlib.lines import Line2D

from labwright.runs.plots.style import DPI, MARGIN, fit, join_notes, number, picture, plain, pretty_name, sheet, shorten


@pytest.mark.parametrize(
    ("metric", "title"),
    [
        ("loss", "Loss"),
        ("roc_auc", "ROC AUC"),
        ("top5_accuracy", "Top5 accuracy"),
        ("learning_rate", "Learning rate"),
        ("r2", "R²"),
        ("val_IoU", "Val IoU"),
        ("_", "(unnamed)"),
    ],
)
def test_metric_keys_become_titles(metric: str, title: str) -> None:
    assert pretty_name(metric) == title


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.97123, "0.9712"), (1e-5, "1×10⁻⁵"), (2.5e12, "2.5×10¹²"), (-0.5, "−0.5"), (nan, "NaN"), (0.0, "0")],
)
def test_numbers_are_written_as_a_person_would(value: float, text: str) -> None:
    assert number(value) == text


def test_dollar_signs_and_line_breaks_are_ordinary_text() -> None:
    assert plain("from $5\nto $6") == r"from \$5 to \$6"
    assert shorten("Ankle boot", 10) == "Ankle boot"
    assert shorten("Ankle boots", 10) == "Ankle boo…"


def test_picture_that_fails_leaves_the_old_one_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "history.png"
    path.write_bytes(b"old")
    with pytest.raises(ZeroDivisionError), picture(path, "title", width=3, height=2):
        _ = 1 / 0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_long_title_wraps_and_the_picture_grows_by_it(tmp_path: Path, texts: Callable[[Path], list[str]]) -> None:
    title = "An experiment with a title of many words " * 3
    for path in (tmp_path / "long.png", tmp_path / "long.svg"):
        with picture(path, title, width=4, height=2):
            pass
    with picture(tmp_path / "short.png", "Short", width=4, height=2):
        pass
    lines = texts(tmp_path / "long.svg")
    assert len(lines) > 1
    assert " ".join(lines) == title.strip()
    tall, low = imread(tmp_path / "long.png"), imread(tmp_path / "short.png")
    assert tall.shape[0] > low.shape[0]
    assert tall.shape[1] == low.shape[1] == 4 * DPI


def test_nothing_in_the_header_is_cut_off(tmp_path: Path) -> None:
    """Title, subtitle and legend stay inside the picture, however wide they are."""
    path = tmp_path / "wide.png"
    legend = [Line2D([], [], label=f"validation_set_{index}") for index in range(9)]
    with picture(path, "W" * 120, width=3.5, height=1, subtitle="M" * 200, legend=legend):
        pass
    pixels = imread(path)[:, :, :3]
    assert pixels[:, :12].min() == pixels[:, -12:].min() == pixels[:12].min() == 1.0


def test_sheet_is_measured_in_inches_from_below_the_header(tmp_path: Path) -> None:
    """A black inch at the upper left corner is an inch, flush with the title, whatever the header needs."""
    for title in ("Short", "An experiment with a title of many words " * 3):
        path = tmp_path / "sheet.png"
        with sheet(path, title, width=4, height=2) as (_, axes):
            axes.fill([0, 1, 1, 0], [1, 1, 2, 2], color="black", linewidth=0)
        pixels = imread(path)
        rows, columns = np.nonzero(pixels[-int(1.5 * DPI) :, :, 0] == 0)
        assert np.ptp(rows) + 1 == pytest.approx(DPI, abs=2)
        assert np.ptp(columns) + 1 == pytest.approx(DPI, abs=2)
        assert columns.min() == pytest.approx(MARGIN * DPI, abs=2)
        assert pixels.shape[1] == pytest.approx((4 + 2 * MARGIN) * DPI, abs=1)


def test_notes_that_say_nothing_leave_no_gap() -> None:
    assert join_notes("", "step 7", "", "3 of 4") == "step 7 · 3 of 4"


def test_text_is_cut_to_the_room_it_has() -> None:
    assert fit("Ankle boot", 2.0, 8.0) == "Ankle boot"
    assert fit("Ankle boot", 0.5, 8.0) == "Ankle…"


def test_script_that_the_font_lacks_raises_no_warning(tmp_path: Path) -> None:
    with picture(tmp_path / "a.png", "数字 認識", width=3, height=1):
        pass


@pytest.mark.parametrize(("name", "start"), [("a.pdf", b"%PDF"), ("a.svg", b"<?xml"), ("a.png", b"\x89PNG")])
def test_suffix_chooses_the_format(tmp_path: Path, name: str, start: bytes) -> None:
    with picture(tmp_path / name, "title", width=3, height=1):
        pass
    assert (tmp_path / name).read_bytes().startswith(start)
