import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.shards import ShardError
from labwright.shards.manifest import (
    MANIFEST,
    FieldInfo,
    FileInfo,
    Manifest,
    ShardInfo,
    SplitInfo,
    parse_manifest,
    read_manifest,
    write_manifest,
)


def made() -> Manifest:
    file = FileInfo(name="train.00000000.keys", num_bytes=12, sha256="0" * 64)
    shard = ShardInfo(name="train-000000.tar", num_bytes=2048, sha256="1" * 64, num_samples=3)
    split = SplitInfo(num_samples=3, shards=(shard,), index=file, keys=file)
    return Manifest(fields={"left.jpg": FieldInfo(codec="jpg")}, splits={"train": split}, metadata={"a": [1, None]})


def changed(*path: str | int, to: Any) -> bytes:
    """The manifest as JSON with one value replaced."""
    raw: Any = json.loads(made().model_dump_json())
    place = raw
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = to
    return json.dumps(raw).encode()


def test_manifest_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, made())
    assert read_manifest(tmp_path) == made()
    assert [path.name for path in tmp_path.iterdir()] == [MANIFEST]


def test_missing_manifest_says_that_it_is_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="is no dataset of shards: it has no dataset.json"):
        read_manifest(tmp_path)


SHARD = ("splits", "train", "shards", 0)


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (b"", "is damaged: Expecting value"),
        (b"\xff\xfe", "is damaged: "),
        (b"[]", "is damaged at its top"),
        (b"[" * 100_000, "is damaged: "),
        (b'{"version": 1e999}', "is damaged at "),
        (changed("version", to=2), "has version 2; this labwright reads up to 1: upgrade it"),
        (changed("version", to=0), "is damaged at version"),
        (changed("format", to="zarr"), "is damaged at format"),
        (changed("code", to="import os"), "is damaged at code"),
        (changed("a\nb" * 1000, to=1), r"is damaged at a\nba\nb"),
        (changed("fields", to={}), "is damaged at fields"),
        (changed("fields", to={f"f{number}": {"codec": "x"} for number in range(257)}), "is damaged at fields"),
        (changed("fields", to={"a/b": {"codec": "jpg"}}), "is damaged at fields"),
        (changed("fields", to={"a": {"codec": "x"}, "A": {"codec": "x"}}), "differ in their case only"),
        (changed("splits", to={"../x": {}}), "is damaged at splits"),
        (changed(*SHARD, "name", to="../../etc/passwd"), "is damaged at splits.train.shards.0.name"),
        (changed(*SHARD, "name", to="/etc/passwd"), "is damaged at splits.train.shards.0.name"),
        (changed(*SHARD, "name", to=".hidden"), "is damaged at splits.train.shards.0.name"),
        (changed(*SHARD, "name", to="a\n"), "is damaged at splits.train.shards.0.name"),
        (changed(*SHARD, "num_bytes", to=-1), "is damaged at splits.train.shards.0.num_bytes"),
        (changed(*SHARD, "num_bytes", to=1 << 64), "is damaged at splits.train.shards.0.num_bytes"),
        (changed(*SHARD, "num_samples", to=4), "its shards have 4 samples together, not 3"),
        (changed(*SHARD, "sha256", to="zz"), "is damaged at splits.train.shards.0.sha256"),
        (changed("splits", "train", "shards", to=[]), "its shards have 0 samples together, not 3"),
    ],
)
def test_damaged_manifest_is_one_clear_line(text: bytes, what: str) -> None:
    with pytest.raises(ShardError) as refused:
        parse_manifest(text, Path("flowers/dataset.json"))
    message = str(refused.value)
    assert message.startswith("flowers/dataset.json") and what in message and "\n" not in message


def test_manifest_that_could_not_be_read_again_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.manifest._MAX_BYTES", 500)
    with pytest.raises(ShardError, match="with 1 shards, and is read up to .* write fewer, larger shards"):
        write_manifest(tmp_path, made())
    assert not list(tmp_path.iterdir())


def test_shard_named_twice_is_refused() -> None:
    shard = json.loads(made().model_dump_json())["splits"]["train"]["shards"][0]
    text = changed("splits", "train", "shards", to=[shard, {**shard, "num_samples": 0}])
    with pytest.raises(ShardError, match="it names a shard twice"):
        parse_manifest(text, Path("dataset.json"))


def test_manifest_beyond_all_measure_is_not_parsed(tmp_path: Path) -> None:
    with (tmp_path / MANIFEST).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(ShardError, match="it has more than 64 MiB"):
        read_manifest(tmp_path)


def test_mutated_manifests_are_read_or_refused() -> None:
    good, draws = made().model_dump_json().encode(), random.Random(0)
    for _ in range(500):
        data = bytearray(good)
        for _ in range(draws.randint(1, 3)):
            data[draws.randrange(len(data))] = draws.choice(b'{}[]",:09ae-\\u\0\xff ')
        read_or_refused(bytes(data))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(st.sampled_from(["format", "version", "fields", "splits", "metadata"]), JSON)
def test_any_value_is_read_or_refused(name: str, value: Any) -> None:
    read_or_refused(changed(name, to=value))


def read_or_refused(text: bytes) -> None:
    try:
        parse_manifest(text, Path(MANIFEST))
    except ShardError as error:
        assert "\n" not in str(error)


def test_text_that_is_no_unicode_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="the metadata cannot be written as JSON"):
        write_manifest(tmp_path, made().model_copy(update={"metadata": {"a": "\ud800"}}))
    assert not any(tmp_path.iterdir())
