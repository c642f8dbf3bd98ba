import hashlib
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.shards import Damage, ShardError, open_dataset, verify
from labwright.shards.manifest import read_manifest, write_manifest

from .quix_writer import write_quix
from .tars import plain, write_tar

SHARD = "train-000001.tar"


def found(path: Path) -> list[Damage]:
    return list(verify(path))


def place(dataset: Path, key: str, field: str) -> tuple[int, int]:
    """Where a member's content lies in its shard."""
    index = open_dataset(dataset).split("train").index
    offset, size, _ = index.records["fields"][field][index.keys.find(key)].tolist()
    return offset, size


def flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 16
    path.write_bytes(data)


def test_whole_dataset_has_no_damage_and_every_byte_is_told_of(dataset: Path) -> None:
    told: list[int] = []
    assert list(verify(dataset, progress=told.append)) == []
    assert sum(told) == sum(path.stat().st_size for path in dataset.glob("*.tar"))


def test_keys_that_end_where_they_cannot_are_named_though_their_checksum_is_right(dataset: Path) -> None:
    manifest = read_manifest(dataset)
    split = manifest.splits["train"]
    blob = b"x" * split.keys.num_bytes
    (dataset / split.keys.name).write_bytes(blob)
    keys = split.keys.model_copy(update={"sha256": hashlib.sha256(blob).hexdigest()})
    splits = {**manifest.splits, "train": split.model_copy(update={"keys": keys})}
    write_manifest(dataset, manifest.model_copy(update={"splits": splits}))
    assert [each.what.partition(",")[0] for each in found(dataset)] == ["a newline is missing"] * 3


def test_every_damaged_member_is_named(dataset: Path) -> None:
    damaged = [("train/004", "npy"), ("train/005", "cls"), ("train/007", "npy")]
    for key, field in damaged:
        flip(dataset / SHARD, place(dataset, key, field)[0])
    problems = found(dataset)
    assert [(each.shard, each.key, each.field) for each in problems] == [(SHARD, key, field) for key, field in damaged]
    assert all(each.what.startswith("its bytes changed (CRC-32 ") and not each.is_debris for each in problems)


def test_every_damaged_header_is_named(dataset: Path) -> None:
    for key, field in [("train/004", "npy"), ("train/006", "cls")]:
        flip(dataset / SHARD, place(dataset, key, field)[0] - 500)
    assert [(each.key, each.field) for each in found(dataset)] == [("train/004", "npy"), ("train/006", "cls")]
    assert found(dataset)[0].what == "its header at byte 0 is damaged"


def test_members_that_were_cut_off_are_named(dataset: Path) -> None:
    os.truncate(dataset / SHARD, place(dataset, "train/006", "npy")[0] + 5)
    problems = found(dataset)
    gone = "it was cut short: it has 4,613 bytes and should have 9,216; 4 fields gone with its end"
    assert problems[0] == Damage(SHARD, "", "", gone)
    assert all(each.is_detail for each in problems[1:])
    lost = [(each.key, each.field) for each in problems[1:]]
    assert lost == [("train/006", "npy"), ("train/006", "cls"), ("train/007", "npy"), ("train/007", "cls")]


def test_bytes_between_members_are_checked_too(dataset: Path) -> None:
    offset, size = place(dataset, "train/004", "cls")
    flip(dataset / SHARD, offset + size + 9)
    assert found(dataset) == [
        Damage(
            SHARD,
            "",
            "",
            "its SHA-256 is not that of the manifest: its members are whole, bytes between them changed",
        )
    ]


def test_missing_shard_is_named_with_what_is_lost(dataset: Path) -> None:
    (dataset / SHARD).unlink()
    assert found(dataset) == [Damage(SHARD, "", "", "it is missing (4 samples)")]


def test_shard_replaced_by_another_is_found(dataset: Path) -> None:
    data = (dataset / "train-000000.tar").read_bytes()
    (dataset / SHARD).write_bytes(data)
    problems = found(dataset)
    assert {each.shard for each in problems} == {SHARD}
    assert ("train/004", "npy") in {(each.key, each.field) for each in problems}


def test_shard_with_exchanged_names_is_found(dataset: Path) -> None:
    """Contents and sizes are right, only the names are not."""
    data = (dataset / SHARD).read_bytes()
    index = open_dataset(dataset).split("train").index
    members = [
        (f"{index.keys[position]}.{field}", data[offset:][:size])
        for position in range(4, 8)
        for field in index.fields
        for offset, size, _ in [index.records["fields"][field][position].tolist()]
    ]
    members[0], members[2] = (members[2][0], members[0][1]), (members[0][0], members[2][1])
    (dataset / SHARD).write_bytes(plain(members))
    problem = found(dataset)[0]
    assert (problem.key, problem.field) == ("train/004", "npy") and "lies 'train/005.npy'" in problem.what


def test_no_flipped_bit_stays_hidden(dataset: Path) -> None:
    """In the shards and the index; the manifest has no checksum of its own."""
    draws = random.Random(0)
    files = sorted(path for path in dataset.iterdir() if path.name != "dataset.json")
    for path in draws.choices(files, k=25):
        data = path.read_bytes()
        flip(path, draws.randrange(len(data)))
        assert {each.shard for each in verify(dataset) if not each.is_debris} == {path.name}
        path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".index.npy", ".keys"])
@pytest.mark.parametrize(
    "damage",
    [Path.unlink, lambda path: flip(path, -1), lambda path: os.truncate(path, 9)],
    ids=["missing", "flipped", "truncated"],
)
def test_damaged_index_is_named_and_shards_are_checked_still(
    dataset: Path, suffix: str, damage: Callable[[Path], object]
) -> None:
    (path,) = dataset.glob(f"train.*{suffix}")
    damage(path)
    flip(dataset / SHARD, -3)
    first, second = found(dataset)
    assert first.shard == path.name and first.what.endswith("`labwright data index` makes it anew")
    assert second.shard == SHARD


def test_damaged_manifest_is_the_only_thing_that_can_be_said(dataset: Path) -> None:
    (dataset / "dataset.json").write_text("{")
    (problem,) = found(dataset)
    assert problem.shard == "dataset.json" and "is damaged" in problem.what


def test_debris_is_mentioned_as_such(dataset: Path) -> None:
    write_tar(dataset / "train-000003.tar", [])
    (dataset / ".writing").mkdir()
    (dataset / "README.md").touch()
    assert [(each.shard, each.is_debris) for each in found(dataset)] == [(".writing", True), ("train-000003.tar", True)]


def test_no_dataset_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="does not exist"):
        found(tmp_path / "absent")


def test_foreign_shards_are_checked_each_for_itself(tmp_path: Path) -> None:
    for number in range(4):
        write_tar(tmp_path / f"{number}.tar", [(f"{number}.jpg", b"x" * 900), (f"{number}.cls", b"1"), ("README", b"")])
    assert all(each.is_debris for each in found(tmp_path))
    os.truncate(tmp_path / "1.tar", 1000)
    flip(tmp_path / "3.tar", 1540)
    problems = [each for each in found(tmp_path) if not each.is_debris]
    assert [(each.shard, each.key, each.field) for each in problems] == [("1.tar", "1", "jpg"), ("3.tar", "", "")]


def test_quix_index_is_compared_with_its_shards(tmp_path: Path) -> None:
    samples = [(f"{number}", {"cls": b"1"}) for number in range(5)]
    path = write_quix(tmp_path / "q", {"train": samples})
    assert found(path) == []
    write_tar(path / "train_0001.tar", [])
    assert [(each.shard, each.key, each.field) for each in found(path)] == [("train_0001.tar", "4", "cls")]
