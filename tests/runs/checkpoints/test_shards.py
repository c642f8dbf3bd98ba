"""Checkpoints whose tensors lie in files of several ranks: kept, checked and deleted with them."""

import json
from pathlib import Path

import pytest

from labwright.args import UserError
from labwright.runs import CheckpointStore
from labwright.runs.checkpoints.shards import Shards, check_shards, described, new_folder, shards_of


def checkpoint(directory: Path, step: int) -> bytes:
    """The content of a checkpoint whose two shards are written by now."""
    directory.mkdir(exist_ok=True)
    folder = new_folder(directory, step)
    folder.mkdir()
    for rank in (1, 2):
        (folder / f"shard-{rank}.safetensors").write_bytes(bytes([rank]) * step)
    shards = Shards(folder.name, described(folder))
    header = json.dumps({"__metadata__": {"shards": shards.to_json()}}).encode()
    return len(header).to_bytes(8, "little") + header


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """Three checkpoints, of which the last two are kept."""
    store = CheckpointStore(tmp_path / "checkpoints", keep_last=2)
    for step in (10, 20, 30):
        store.save(step, step // 10, checkpoint(store.directory, step), {}, is_best=False)
    return store


def folders(store: CheckpointStore) -> list[str]:
    return sorted(path.name for path in store.directory.glob("*.shards"))


def test_shards_are_deleted_with_their_checkpoint(store: CheckpointStore) -> None:
    assert folders(store) == ["step_00000020.shards", "step_00000030.shards"]
    assert store.newest_valid().rejected == []


@pytest.mark.parametrize("damage", ["missing", "shorter", "changed"])
def test_a_checkpoint_with_a_damaged_shard_is_rejected(store: CheckpointStore, damage: str) -> None:
    shard = store.directory / "step_00000030.shards" / "shard-2.safetensors"
    content = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(content[1:] if damage == "shorter" else b"x" + content[1:])
    found = store.newest_valid()
    assert found.path.name == "step_00000020.safetensors"
    assert len(found.rejected) == 1 and str(shard) in found.rejected[0]
    assert store.drop_damaged() == found.rejected
    assert folders(store) == ["step_00000020.shards"]


def test_shards_of_a_checkpoint_that_was_never_finished_are_swept(store: CheckpointStore) -> None:
    checkpoint(store.directory, 40)
    (store.directory / "notes.shards").mkdir()  # somebody's own
    assert [path.name for path in store.sweep()] == ["step_00000040.shards"]
    assert folders(store) == ["notes.shards", "step_00000020.shards", "step_00000030.shards"]


def test_a_lost_index_is_made_anew_of_checkpoints_whose_shards_are_whole(store: CheckpointStore) -> None:
    (store.directory / "step_00000030.shards" / "shard-1.safetensors").write_bytes(b"")
    store.index_path.unlink()
    assert store.newest_valid().path.name == "step_00000020.safetensors"
    store.sweep()
    assert {entry["file"] for entry in store.read_index().values()} == {"step_00000020.safetensors"}


def test_a_folder_that_is_there_is_not_written_to_again(store: CheckpointStore) -> None:
    assert new_folder(store.directory, 30).name == "step_00000030_2.shards"


def test_a_checkpoint_without_shards_has_none(tmp_path: Path) -> None:
    path = tmp_path / "plain.safetensors"
    path.write_bytes(len(b"{}").to_bytes(8, "little") + b"{}")
    assert shards_of(path) is None
    check_shards(path)


@pytest.mark.parametrize(
    "text",
    [
        '{"folder": "../step_00000010.shards", "files": {}}',
        '{"folder": "step_00000010.shards", "files": {"../x.safetensors": [1, ""]}}',
        '{"folder": "step_00000010.shards", "files": {"x.safetensors": 1}}',
        '{"files": {}}',
        "[]",
    ],
)
def test_names_that_lead_elsewhere_and_other_nonsense_are_refused(tmp_path: Path, text: str) -> None:
    header = json.dumps({"__metadata__": {"shards": text}}).encode()
    path = tmp_path / "forged.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(UserError, match="damaged: (its shards have names|what it says of its shards)"):
        check_shards(path)
