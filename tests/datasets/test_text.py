from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import UserError
from labwright.datasets.args import TextDataArgs
from labwright.datasets.overlap import check_overlap
from labwright.datasets.splits import Splits
from labwright.datasets.view import limit

SENTENCE = "Grüße aus dem Süden, wo die Äpfel blühen.\n"


@pytest.fixture
def text(tmp_path: Path) -> Path:
    path = tmp_path / "letter.txt"
    path.write_text(SENTENCE * 10, encoding="utf-8")
    return path


def decoded(splits: Splits, codes: torch.Tensor) -> str:
    return "".join(splits.class_names[code] for code in codes.tolist())


def test_targets_are_the_next_characters(text: Path, tmp_path: Path) -> None:
    splits = TextDataArgs(path=text, context_length=8).build(tmp_path)
    train: Any = splits.train["train"]
    batch = train.__getitems__([0, 2])

    assert decoded(splits, batch["input"][0]) == SENTENCE[:8]
    assert decoded(splits, batch["target"][1]) == SENTENCE[17:25]
    assert (batch["input"].dtype, batch["target"].shape) == (torch.int64, (2, 8))
    assert (batch["index"].tolist(), batch["source"]) == ([0, 2], ["letter.txt", "letter.txt"])
    assert torch.equal(train[2]["input"], batch["input"][1])


def test_vocabulary_is_the_characters_in_order(text: Path, tmp_path: Path) -> None:
    splits = TextDataArgs(path=text, context_length=8).build(tmp_path)

    assert splits.class_names == tuple(sorted(set(SENTENCE)))
    assert (splits.num_outputs, splits.input_shape, splits.task) == (len(set(SENTENCE)), (8,), None)


def test_no_character_is_in_two_splits(tmp_path: Path) -> None:
    splits = TextDataArgs(context_length=50, val_fraction=0.2, test_fraction=0.3).build(tmp_path)
    spans: list[tuple[int, int]] = []
    for named in (splits.train, splits.val, splits.test):
        (dataset,) = named.values()
        starts: Any = dataset.source_indices
        assert (starts.diff() == 50).all()
        spans.append((int(starts[0]), int(starts[-1]) + 51))

    assert spans[0][1] <= spans[1][0] and spans[1][1] <= spans[2][0]
    lengths = [end - start for start, end in spans]
    assert [round(length / sum(lengths), 2) for length in lengths] == [0.5, 0.2, 0.3]
    assert check_overlap(splits, "refuse") == []


def test_text_by_default_is_long_english_and_always_there(tmp_path: Path) -> None:
    splits = TextDataArgs().build(tmp_path)
    train: Any = splits.train["train"]

    assert len(train) > 2000
    assert 80 < splits.num_outputs < 200
    assert sum(" the " in decoded(splits, sample["input"]) for sample in limit(train, 200)) > 50
    assert splits.fingerprint == TextDataArgs(context_length=9).build(tmp_path).fingerprint


def test_no_held_out_text_on_request(text: Path, tmp_path: Path) -> None:
    splits = TextDataArgs(path=text, val_fraction=0, test_fraction=0).build(tmp_path)

    assert (splits.val, splits.test) == ({}, {})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "letter.txt is empty"),
        (b"\xff\xfe", "letter.txt is not UTF-8 text: invalid start byte at byte 0"),
        (b"too short", "the 9 characters for train are fewer than a window of 65"),
        (b"long enough " * 10, "the 12 characters for val are fewer than a window of 65"),
        (None, "cannot read .*letter.txt: No such file"),
    ],
)
def test_bad_text_is_one_clear_line(text: Path, tmp_path: Path, content: bytes | None, message: str) -> None:
    text.unlink() if content is None else text.write_bytes(content)
    held_out = 0 if content == b"too short" else 0.1

    with pytest.raises(UserError, match=message):
        TextDataArgs(path=text, val_fraction=held_out, test_fraction=held_out).build(tmp_path)


def test_python_without_docstrings_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.datasets.text.__doc__", None)  # as under -OO

    with pytest.raises(UserError, match="this Python runs without docstrings .-OO.*give a path"):
        TextDataArgs().build(tmp_path)
