import os
import random
import tracemalloc
from pathlib import Path
from time import process_time

import numpy as np
import pytest

from labwright.shards import ShardError, open_dataset
from labwright.shards.index import Index, Keys, index_dtype, key_blob, load_index, make_index, write_index
from labwright.shards.manifest import MANIFEST, FieldInfo, Manifest, ShardInfo, SplitInfo, write_manifest

FIELDS = ("jpg", "cls")
KEYS = ["a", "größe/1", "b/c d", "z"]


def records(num_samples: int) -> np.ndarray:
    made = np.zeros(num_samples, index_dtype(FIELDS))
    for number, field in enumerate(FIELDS):
        made["fields"][field]["offset"] = 512 + 1024 * (2 * np.arange(num_samples) + number)
    return made


def written(directory: Path, keys: list[str]) -> SplitInfo:
    index, blob = write_index(directory, "train", make_index(records(len(keys)), keys), key_blob(keys))
    shard = ShardInfo(name="train-000000.tar", num_bytes=1, sha256="0" * 64, num_samples=len(keys))
    return SplitInfo(num_samples=len(keys), shards=(shard,), index=index, keys=blob)


@pytest.mark.parametrize("num_samples", [0, 1, 4])
def test_what_is_written_is_loaded(tmp_path: Path, num_samples: int) -> None:
    info = written(tmp_path, KEYS[:num_samples])
    index = load_index(tmp_path, "train", info, FIELDS)
    assert len(index) == num_samples and index.fields == FIELDS
    assert index.keys[range(num_samples)] == KEYS[:num_samples]
    expected = make_index(records(num_samples), KEYS[:num_samples]).records
    assert np.array_equal(index.records, expected)
    if num_samples:
        assert not index.records.flags.writeable


def test_file_is_an_ordinary_npy_file_named_after_its_content(tmp_path: Path) -> None:
    info = written(tmp_path, KEYS)
    assert info.index.name == f"train.{info.index.sha256[:8]}.index.npy"
    loaded = np.load(tmp_path / info.index.name, allow_pickle=False)
    assert loaded.dtype == index_dtype(FIELDS) and np.array_equal(loaded["fields"], records(4)["fields"])
    assert (tmp_path / info.keys.name).read_text() == "".join(f"{key}\n" for key in KEYS)
    assert written(tmp_path, KEYS) == info


def test_keys_are_looked_up_both_ways(tmp_path: Path) -> None:
    keys = load_index(tmp_path, "train", written(tmp_path, KEYS), FIELDS).keys
    assert keys[1] == "größe/1" and keys[np.array([3, 0, 3])] == ["z", "a", "z"] and keys[[]] == []
    assert [keys.find(key) for key in KEYS] == [0, 1, 2, 3] and list(keys) == KEYS
    for absent in ("", "größe", "c d", "a\n", "A", "\udc80", "zz"):
        assert keys.find(absent) is None
    for outside in (-1, 4):
        with pytest.raises(IndexError, match=f"sample {outside} of 4"):
            keys[outside]


def test_index_that_was_cut_short_is_an_error_and_no_crash(tmp_path: Path) -> None:
    info = written(tmp_path, [f"{number:06d}" for number in range(2000)])
    index = load_index(tmp_path, "train", info, FIELDS)
    index.check()
    os.truncate(tmp_path / info.index.name, 10_000)
    with pytest.raises(ShardError, match="the index was cut short while it was in use"):
        index.check()


@pytest.mark.parametrize("ends", [[0, 3], [5, 2], [2, 2], [2, 99], [1, 2], [2, 2**63]])
def test_damaged_ends_of_keys_are_an_error(ends: list[int]) -> None:
    made = np.zeros(2, index_dtype(FIELDS))
    made["key_end"] = ends
    with pytest.raises(ShardError, match="`labwright data index` makes it anew"):
        Index(made, Keys(b"a\nb\n", made["key_end"])).keys[[0, 1]]


def test_keys_that_are_no_text_or_end_elsewhere_are_an_error_and_no_other_key() -> None:
    made = np.zeros(2, index_dtype(FIELDS))
    made["key_end"] = [2, 4]
    with pytest.raises(ShardError, match="the keys: one is not UTF-8; `labwright data index`"):
        Index(made, Keys(b"\xff\nb\n", made["key_end"])).keys[[0, 1]]
    made["key_end"] = [4, 4]
    with pytest.raises(ShardError, match="`labwright data index` makes it anew"):
        Keys(b"a\nb\n", made["key_end"]).find("b")


def damage(path: Path, info: SplitInfo, data: bytes) -> SplitInfo:
    """The index replaced by other bytes, of which the manifest knows the size."""
    (path / info.index.name).write_bytes(data)
    return info.model_copy(update={"index": info.index.model_copy(update={"num_bytes": len(data)})})


def refusal(path: Path, info: SplitInfo) -> str:
    with pytest.raises(ShardError) as refused:
        load_index(path, "train", info, FIELDS)
    return str(refused.value)


def test_missing_or_resized_file_is_refused(tmp_path: Path) -> None:
    info = written(tmp_path, KEYS)
    blob = tmp_path / info.keys.name
    blob.write_bytes(blob.read_bytes() + b"x\n")
    assert refusal(tmp_path, info).startswith(
        f"{tmp_path.name}/{info.keys.name}: it has 22 bytes, the manifest says 20; `labwright data"
    )
    blob.unlink()
    assert "it is missing" in refusal(tmp_path, info)
    blob.mkdir()
    assert "it is no regular file; `labwright data index` makes it anew" in refusal(tmp_path, info)


def test_hostile_headers_are_refused(tmp_path: Path) -> None:
    """None is interpreted: neither pickle, nor another dtype, nor a shape of a tebibyte."""
    info = written(tmp_path, KEYS)
    good = (tmp_path / info.index.name).read_bytes()
    start = good.index(b"\n") + 1
    hostile = [
        b"",
        b"PK\x03\x04" + good,
        b"\x80\x04\x95" + good,
        good[:6] + b"\x02\x00" + good[8:],
        good[:8] + b"\xff\xff" + good[10:],
        good.replace(b"(4,)", b"(1099511627776,)"),
        good.replace(b"(4,)", b"(5,)"),
        good.replace(b"False", b"True "),
        good.replace(b"'<u4'", b"'|O8'", 1),
        good.replace(b"'jpg'", b"'gpj'"),
        good[:10] + b"(" * (start - 11) + good[start - 1 :],
        good[:-1],
        good + b"\0",
    ]
    for data in hostile:
        assert "makes it anew from the shards" in refusal(tmp_path, damage(tmp_path, info, data))
    load_index(tmp_path, "train", damage(tmp_path, info, good), FIELDS)


def test_mutated_index_is_loaded_or_refused(tmp_path: Path) -> None:
    info = written(tmp_path, KEYS)
    good = (tmp_path / info.index.name).read_bytes()
    draws = random.Random(0)
    for _ in range(100):
        data = bytearray(good)
        for _ in range(draws.randint(1, 3)):
            data[draws.randrange(len(data))] = draws.randrange(256)
        try:
            index = load_index(tmp_path, "train", damage(tmp_path, info, bytes(data)), FIELDS)
            assert all(isinstance(key, str) for key in index.keys[range(4)])
        except ShardError as error:
            assert "\n" not in str(error)


@pytest.mark.slow
def test_a_million_samples_open_in_milliseconds_and_without_memory(tmp_path: Path) -> None:
    """Time is not asserted to the limit of 5 ms, which a busy machine may break; the memory is."""
    keys = [f"{number:08d}" for number in range(1_000_000)]
    info = written(tmp_path, keys)
    write_manifest(
        tmp_path, Manifest(fields={field: FieldInfo(codec=field) for field in FIELDS}, splits={"train": info})
    )
    del keys
    open_dataset(tmp_path).split("train").index.keys[0]
    tracemalloc.start()
    began = process_time()
    split = open_dataset(tmp_path).split("train")
    assert len(split.index) == split.num_samples == 1_000_000
    seconds, (_, peak) = process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20
    assert seconds < 1
    assert split.index.keys[999_999] == "00999999" and split.index.keys.find("00500000") == 500_000
    assert (tmp_path / MANIFEST).stat().st_size < 2000
