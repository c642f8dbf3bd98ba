from collections.abc import Callable
from math import nan
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from labwright.runs.plots import plot_text_samples
from labwright.runs.plots.text_samples import visible_lines

Texts = Callable[[Path], list[str]]


def test_text_is_shown_with_its_heading_and_dollars_are_no_formulas(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "samples.svg"
    plot_text_samples([("Prompt $x$", r"I owe $5_{ and \$6"), ("Second", "")], path, "char_lm $", subtitle="epoch 3")
    assert {"char_lm $", "epoch 3", "Prompt $x$", r"I owe $5_{ and \$6", "Second", "(empty)"} <= set(texts(path))


def test_control_characters_are_seen() -> None:
    lines = visible_lines("a\tb\x07\u200b\ud800\nend\n", 40)
    assert [line.text for line in lines] == [r"a→b\x07\u200b\ud800", "end"]
    assert [line.mark for line in lines] == ["↵", "↵"]


@given(st.text(alphabet="ab .-é\n", max_size=60), st.integers(5, 20))
def test_wrapped_lines_are_the_text_to_the_last_space(text: str, num_columns: int) -> None:
    lines = visible_lines(text, num_columns)
    assert all(len(line.text) <= num_columns for line in lines)
    if text and "more lines" not in lines[-1].mark:
        assert "".join(line.text + ("\n" if line.mark == "↵" else "") for line in lines) == text


def test_long_samples_and_many_samples_are_cut_and_counted(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "samples.svg"
    plot_text_samples([(f"Sample {index}", "line\n" * 20) for index in range(10)], path, "t")
    shown = texts(path)
    assert "the first 8 of 10 samples" in shown
    assert "Sample 7" in shown and "Sample 8" not in shown
    assert shown.count("… 7 more lines") == 8


def test_curve_stands_beside_the_text(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "samples.svg"
    curve = {"train": [30.0, 20.0, 10.0], "val": [31.0, nan, 12.5]}
    plot_text_samples([("Sample", "to be")], path, "t", curve=curve)
    assert {"train", "val", "Perplexity", "Epoch", "last: train 10, val 12.5", "to be"} <= set(texts(path))


def test_nothing_sampled_says_so(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "samples.svg"
    plot_text_samples([], path, "t")
    assert "No text to show" in texts(path)
    plot_text_samples([], path, "t", curve={"val": []}, curve_label="Loss")
    assert {"No text to show", "Loss", "no finite value"} <= set(texts(path))
