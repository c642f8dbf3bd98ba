import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.shards import ShardError, open_dataset

from .quix_writer import write_quix
from .tars import write_tar
from .test_opened import contents, refusal

TRAIN = [(f"{number:05d}", {"jpg": b"jpeg %d" % number, "cls": b"%d" % number}) for number in range(10)]


@pytest.fixture
def quix(tmp_path: Path) -> Path:
    return write_quix(tmp_path / "q", {"train": TRAIN, "val": TRAIN[:2]}, metadata={"num_classes": 10})


def test_quix_directory_opens_as_it_is(quix: Path) -> None:
    opened = open_dataset(quix)
    assert (opened.kind, opened.splits) == ("quix", ("train", "val"))
    assert opened.metadata == {"num_classes": 10, "num_train": 10, "num_val": 2}
    assert opened.codecs == {"jpg": "jpg", "cls": "cls"}
    train = opened.split("train")
    assert train.index.keys[range(10)] == [key for key, _ in TRAIN] and not train.has_checksums
    for field in ("jpg", "cls"):
        assert contents(train, field) == [fields[field] for _, fields in TRAIN]


def test_config_that_names_more_files_than_there_can_be_is_refused(quix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.quix.MAX_NAMES", 10)
    config = json.loads((quix / "config.json").read_bytes())
    (quix / "config.json").write_text(json.dumps({**config, "a": "{0..5}.tar", "b": "{0..5}.tar"}))
    assert refusal(quix) == "config.json: it names more than 10 tar files"


def test_directory_without_an_index_opens_too(quix: Path) -> None:
    """quix's own rebuild of it always failed."""
    for path in quix.glob("*.idx.json"):
        path.unlink()
    assert open_dataset(quix).split("train").num_samples == 10


def test_keys_may_have_dots_and_be_long(tmp_path: Path) -> None:
    """The config says where a field begins."""
    samples = [
        ("img.001." + "x" * 120, {"scores.npy": b"1", "jpg": b"2"}),
        ("img.002", {"scores.npy": b"3", "jpg": b"4"}),
    ]
    split = open_dataset(write_quix(tmp_path / "q", {"train": samples})).split("train")
    assert split.index.keys[[0, 1]] == [samples[0][0], "img.002"] and split.index.fields == ("scores.npy", "jpg")
    assert contents(split, "jpg") == [b"2", b"4"]


def test_empty_fold_is_an_empty_split(tmp_path: Path) -> None:
    """It crashed quix."""
    opened = open_dataset(write_quix(tmp_path / "q", {"train": TRAIN, "val": []}))
    assert opened.split("val").num_samples == 0 and opened.split("train").num_samples == 10


def test_incomplete_sample_stays(tmp_path: Path) -> None:
    """quix dropped it silently; here its missing field has offset 0."""
    samples = [*TRAIN[:2], ("x", {"jpg": b"only"})]
    split = open_dataset(write_quix(tmp_path / "q", {"train": samples})).split("train")
    assert split.num_samples == 3 and split.index.records["fields"]["cls"]["offset"][2] == 0


def test_keys_may_begin_again_in_every_shard(tmp_path: Path) -> None:
    samples = [(f"{number % 4}", {"cls": b"%d" % number}) for number in range(8)]
    split = open_dataset(write_quix(tmp_path / "q", {"train": samples})).split("train")
    assert split.index.keys[[0, 4]] == ["train_0000/0", "train_0001/0"]
    assert contents(split, "cls") == [b"%d" % number for number in range(8)]


def test_pickled_field_does_not_keep_a_directory_from_opening(tmp_path: Path) -> None:
    opened = open_dataset(write_quix(tmp_path / "q", {"train": [("a", {"pkl": b"\x80\x04N.", "cls": b"1"})]}))
    assert opened.codecs["pkl"] == "pkl"


def test_samples_that_a_second_writer_overwrote_are_missed(quix: Path) -> None:
    """A second writer zeroed shard 0, and nobody was told."""
    write_quix(quix.parent / "second", {"train": TRAIN[:1], "val": []})
    (quix.parent / "second" / "train_0000.tar").replace(quix / "train_0000.tar")
    assert refusal(quix) == (
        "'00001.jpg' in q/train_0000.tar: train.idx.json lists it, the shard has no such member (3 are missing)"
    )


def config(change: Callable[[dict[str, Any]], object]) -> Callable[[Path], object]:
    def apply(path: Path) -> None:
        raw = json.loads((path / "config.json").read_text())
        change(raw)
        (path / "config.json").write_text(json.dumps(raw))

    return apply


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: (path / "train_0001.tar").unlink(), "train_0001.tar: it is missing"),
        (lambda path: (path / "config.json").write_text("{"), "config.json: it is damaged: "),
        (lambda path: (path / "train.idx.json").write_text("[1]"), "train.idx.json: it is not an index of quix"),
        (lambda path: (path / "train.idx.json").write_text("[" * 99999), "train.idx.json: it is damaged: "),
        (lambda path: (path / "train.idx.json").write_text('{"train_0000.tar": 3}'), "it is not an index of quix"),
        (lambda path: (path / "train.idx.json").write_text('{"train_0000.tar": {".jpg": 3}}'), "it is not an index"),
        (config(lambda raw: raw.update(train="/../../etc/{0..1}.tar")), "outside its directory"),
        (config(lambda raw: raw.update(train="/train_{0000..99999999}.tar")), "is neither a range"),
    ],
)
def test_damaged_directory_is_one_clear_line(quix: Path, damage: Callable[[Path], object], message: str) -> None:
    damage(quix)
    assert message in refusal(quix)


def test_config_of_another_program_is_no_quix(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model": "bert"}')
    assert "holds no dataset of shards" in refusal(tmp_path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text("a.t/{}0,\ud800\0", max_size=6) | st.just("/{0..1}.tar"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["0.tar", ".jpg", "a"]), inner),
    max_leaves=6,
)


@pytest.mark.slow
@given(st.sampled_from(["train", "val", "extensions", "metadata"]), JSON, JSON)
def test_any_config_and_index_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: Any, index: Any
) -> None:
    path = tmp_path_factory.getbasetemp() / "quix-of-any-kind"
    path.mkdir(exist_ok=True)
    for number in range(2):
        write_tar(path / f"{number}.tar", [("a.jpg", b"")])
    (path / "config.json").write_text(json.dumps({"train": "/0.tar", "extensions": ["jpg"], name: value}))
    (path / "train.idx.json").write_text(json.dumps(index))
    try:
        open_dataset(path)
    except ShardError as error:
        assert "\n" not in str(error)
