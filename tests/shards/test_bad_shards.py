"""Shards that are damaged or change, as a reader meets them: one line that says which shard, key and field."""

import io
import os
import pickle
import struct
import zlib
from multiprocessing import context
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

from labwright.shards import ShardDataset, ShardError, ShardWriter
from labwright.shards.mapped import MappedShard
from labwright.train import build_loader
from tests.shards.tars import write_tar

FIRST = "train-000000.tar"
SECOND = "train-000001.tar"


@pytest.fixture(autouse=True)
def always_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.mapped.LOOK_EVERY", -1.0)


def place(dataset: ShardDataset, position: int, field: str) -> tuple[int, int]:
    """Offset and size of a member."""
    index = dataset.opened.split(dataset.split).index
    offset, size, _ = index.records["fields"][field][position].tolist()
    return offset, size


def flip(path: Path, offset: int) -> None:
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("options", [{}, {"fields": ["npy"]}, {"fields": ["cls"]}, {"verify": "off"}])
def test_shard_cut_short_during_an_epoch_is_an_error_and_not_the_end(dataset: Path, options: Any) -> None:
    opened = ShardDataset(dataset, **options)
    assert len(opened.__getitems__([0, 5])["name"]) == 2
    os.truncate(dataset / SECOND, 1000)

    assert len(opened.__getitems__([0])["name"]) == 1
    with pytest.raises(
        ShardError, match=f"^[^ ]*/{SECOND}: it was cut short while it was read: it has 1,000 bytes and had"
    ):
        opened.__getitems__([0, 5])


def test_image_cut_short_at_the_moment_it_is_read_is_an_error_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Copied out of the map it would end the process (SIGBUS)."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), np.uint8)
    with ShardWriter(tmp_path / "noise", ["png"], progress=False) as writer:
        for number, pixels in enumerate(noise):
            writer.write("train", f"{number}", {"png": pixels})
    opened = ShardDataset(tmp_path / "noise")
    look = MappedShard.check

    def look_too_early(shard: MappedShard, *, identity: bool = True) -> None:
        look(shard, identity=identity)
        os.truncate(shard.path, 20_000)

    monkeypatch.setattr(MappedShard, "check", look_too_early)
    with pytest.raises(
        ShardError, match=f"^[^ ]*/{FIRST}: it was cut short while it was read: it has 20,000 bytes and had"
    ):
        opened.__getitems__([3, 2])


def test_shard_replaced_before_workers_are_spawned_is_an_error_in_them(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    context.set_spawning_popen(cast(Any, "a process"))
    try:
        sent = pickle.dumps(opened)
    finally:
        context.set_spawning_popen(None)
    (dataset / "other").write_bytes((dataset / SECOND).read_bytes())
    os.replace(dataset / "other", dataset / SECOND)

    with pytest.raises(ShardError, match=f"^[^ ]*/{SECOND}: another file has taken its place"):
        pickle.loads(sent).__getitems__([5])
    assert pickle.loads(pickle.dumps(opened))[5]["index"] == 5


def test_shard_replaced_during_an_epoch_is_an_error(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    opened.__getitems__([0, 5])
    (dataset / "other").write_bytes((dataset / SECOND).read_bytes())
    os.replace(dataset / "other", dataset / SECOND)

    with pytest.raises(
        ShardError, match=f"^[^ ]*/{SECOND}: another file has taken its place since the dataset was opened"
    ):
        opened.__getitems__([5])
    assert ShardDataset(dataset)[5]["index"] == 5


def test_shard_replaced_before_it_was_first_read_is_an_error_too(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    (dataset / "other").write_bytes((dataset / SECOND).read_bytes())
    os.replace(dataset / "other", dataset / SECOND)
    with pytest.raises(ShardError, match=f"^[^ ]*/{SECOND}: another file has taken its place"):
        opened[5]


def test_shard_written_to_during_an_epoch_is_an_error(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    opened[5]
    flip(dataset / SECOND, 2000)
    os.utime(dataset / SECOND, ns=(1, 1))
    with pytest.raises(ShardError, match=f"^[^ ]*/{SECOND}: it was written to since"):
        opened[5]


def test_shard_removed_during_an_epoch_is_an_error(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    opened[5]
    os.remove(dataset / SECOND)
    with pytest.raises(ShardError, match=f"^[^ ]*/{SECOND}: it is missing$"):
        opened[5]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (os.remove, "it is missing"),
        (lambda path: os.truncate(path, 512), "it was cut short: it has 512 bytes and should have"),
        (lambda path: path.write_bytes(path.read_bytes() + b"more"), "it is not the file that was indexed"),
        (lambda path: (os.remove(path), path.mkdir()), "it is not a file"),
        (lambda path: (os.remove(path), os.mkfifo(path)), "it is not a file"),
    ],
    ids=["missing", "short", "long", "folder", "pipe"],
)
def test_shard_that_is_not_as_indexed_is_found_when_the_dataset_is_opened(
    dataset: Path, spoil: Any, message: str
) -> None:
    spoil(dataset / SECOND)
    with pytest.raises(ShardError, match=f"^[^ ]*/{SECOND}: {message}"):
        ShardDataset(dataset)
    if "not the file" not in message:
        with pytest.raises(ShardError, match=SECOND):
            ShardDataset(dataset, verify="off")[5]


@pytest.mark.parametrize("field", ["npy", "cls"])
def test_flipped_bit_is_found_by_checksums(dataset: Path, field: str) -> None:
    offset, size = place(ShardDataset(dataset), 6, field)
    flip(dataset / SECOND, offset + size - 1)
    opened = ShardDataset(dataset, verify="read")

    assert len(opened.__getitems__([4, 5, 7])["name"]) == 3
    with pytest.raises(
        ShardError, match=f"^'train/006.{field}' in [^ ]*/{SECOND}: its checksum is .* the shard is damaged"
    ):
        opened.__getitems__([9, 5, 6, 4])
    assert len(ShardDataset(dataset).__getitems__([5, 6])["name"]) == 2


def test_damaged_header_among_good_ones_names_its_sample(dataset: Path) -> None:
    offset, _ = place(ShardDataset(dataset), 6, "npy")
    flip(dataset / SECOND, offset)
    with pytest.raises(ShardError, match=f"^'train/006.npy' in [^ ]*/{SECOND}: no .npy"):
        ShardDataset(dataset).__getitems__([4, 6, 5])


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("offset", 0, "the sample has no such field"),
        ("offset", 100, "the index puts it at 100, .* bytes long, which is not in the shard"),
        ("offset", 1 << 40, "which is not in the shard"),
        ("offset", 2**64 - 1, "which is not in the shard"),
        ("size", 1 << 40, "1,099,511,627,776 bytes long, which is not in the shard"),
        ("size", 2**63 - 1, "which is not in the shard"),
        ("shard", 7, "the index puts it in shard number 7 of 3"),
    ],
)
@pytest.mark.parametrize("kind", ["npy", "cls"])
def test_places_outside_of_a_shard_are_refused(numbers: Path, field: str, value: int, message: str, kind: str) -> None:
    opened = ShardDataset(numbers, verify="off")
    index = opened.opened.split("train").index
    index.records = np.array(index.records)
    (index.records if field == "shard" else index.records["fields"][kind])[field][5] = value
    broken = ShardDataset(opened.opened, verify="off")

    with pytest.raises(ShardError, match=rf"^'train/005.(npy|cls)'( in [^ ]*/{SECOND})?: .*{message}"):
        broken.__getitems__([9, 5, 4])


def test_members_that_overlap_do_not_fill_the_memory(numbers: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.shards.files._MUCH", 1)
    opened = ShardDataset(numbers, verify="off")
    assert opened.__getitems__([0] * 100 + [1, 2, 3])["index"].shape == (103,)
    index = opened.opened.split("train").index
    index.records = np.array(index.records)
    index.records["fields"]["cls"]["offset"], index.records["fields"]["cls"]["size"] = 512, 5000

    with pytest.raises(ShardError, match="the index says 5,000 bytes, more than can be its own: it is damaged"):
        ShardDataset(opened.opened, fields=["cls"], verify="off").__getitems__([0, 1])


def test_bool_that_is_neither_true_nor_false_is_an_error(tmp_path: Path) -> None:
    with ShardWriter(tmp_path / "bools", ["npy"], progress=False) as writer:
        for number in range(3):
            array = io.BytesIO()
            np.save(array, np.array([True, False]))
            content = array.getvalue()
            writer.write("train", f"{number}", {"npy": content[:-1] + bytes([number])})

    assert ShardDataset(tmp_path / "bools").__getitems__([1, 0])["npy"].tolist() == [[True, True], [True, False]]
    with pytest.raises(ShardError, match=f"^'2.npy' in [^ ]*/{FIRST}: a bool is neither 0 nor 1"):
        ShardDataset(tmp_path / "bools").__getitems__([0, 2])


def test_index_cut_short_during_an_epoch_is_an_error(dataset: Path) -> None:
    opened = ShardDataset(dataset)
    opened[5]
    os.truncate(next(dataset.glob("train.*.index.npy")), 100)
    with pytest.raises(ShardError, match="the index was cut short while it was in use"):
        opened[5]


def test_sample_without_a_field_is_named(tmp_path: Path) -> None:
    write_tar(tmp_path / "web.tar", [("a.txt", b"x"), ("a.cls", b"1"), ("b.txt", b"y")])
    opened = ShardDataset(tmp_path / "web.tar")
    assert opened[0]["cls"] == 1
    with pytest.raises(ShardError, match=r"^'b.cls' in [^ ]*/web.tar: the sample has no such field$"):
        opened.__getitems__([0, 1])
    assert ShardDataset(tmp_path / "web.tar", fields=["txt"]).__getitems__([0, 1])["txt"] == ["x", "y"]


def test_bombs_name_their_sample_and_take_no_memory(tmp_path: Path) -> None:
    header = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    png = b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk))
    png += b"\0\0\0\0IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    text = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000, 1000000), }".ljust(117) + b"\n"
    npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
    with ShardWriter(tmp_path / "bombs", ["png", "npy"], progress=False) as writer:
        writer.write("train", "boom", {"png": png, "npy": npy})

    with pytest.raises(ShardError, match=f"^'boom.png' in [^ ]*/{FIRST}: the image of 30000 x 30000 has more than"):
        ShardDataset(tmp_path / "bombs", fields=["png"])[0]
    with pytest.raises(ShardError, match=f"^'boom.npy' in [^ ]*/{FIRST}: "):
        ShardDataset(tmp_path / "bombs", fields=["npy"]).__getitems__([0, 0])


@pytest.mark.parametrize("num_threads", [1, 4])
def test_first_damaged_image_is_named_whatever_the_threads(
    tmp_path: Path, num_threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labwright.shards.decoding.num_cores", lambda: 4)
    with ShardWriter(tmp_path / "images", ["png"], progress=False) as writer:
        for number in range(12):
            writer.write("train", f"p{number}", {"png": np.full((4, 4), number, np.uint8)})
    opened = ShardDataset(tmp_path / "images", num_threads=num_threads)
    for number in (5, 7, 9):
        flip(tmp_path / "images" / FIRST, place(opened, number, "png")[0])
    opened = ShardDataset(tmp_path / "images", num_threads=num_threads)

    for _ in range(5):
        with pytest.raises(ShardError, match=f"^'p7.png' in [^ ]*/{FIRST}: no image of a format known here$"):
            opened.__getitems__([0, 1, 7, 9, 2, 5])
    opened.close()


@pytest.mark.slow
def test_damage_in_a_worker_process_is_named_here(dataset: Path) -> None:
    offset, _ = place(ShardDataset(dataset), 6, "npy")
    flip(dataset / SECOND, offset)
    loader = build_loader(ShardDataset(dataset), 2, shuffle=False, seed=0, num_workers=2)
    with pytest.raises(ShardError, match=f"^'train/006.npy' in [^ ]*/{SECOND}: no .npy"):
        list(loader)
    loader.close()
