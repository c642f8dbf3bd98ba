"""The newest and the best checkpoints are kept, and a kill at any moment loses none."""

import json
import math
import os
import signal
import subprocess
import sys
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from labwright.args.errors import UserError
from labwright.runs import CheckpointStore, DiskError
from labwright.runs.checkpoints import store as store_module
from labwright.runs.checkpoints.store import resolve_checkpoint

from .saving import files, save, whole


def test_the_newest_and_the_best_are_kept_and_no_others(store: CheckpointStore) -> None:
    assert save(store, 10, is_best=True).name == "step_00000010.safetensors"
    for step in (20, 30, 40):
        save(store, step, is_best=step == 30)
    assert files(store) == {"step_00000030.safetensors", "step_00000040.safetensors"}
    assert store.path_of("best") == store.directory / "step_00000030.safetensors"
    assert store.path_of("last") == store.directory / "step_00000040.safetensors"


def test_the_index_describes_what_it_names(store: CheckpointStore) -> None:
    path = save(store, 10, is_best=True)
    index = json.loads(store.index_path.read_bytes())
    assert index["last"] == index["best"]
    assert index["last"] == {
        "file": path.name,
        "size": len(b"weights 10"),
        "sha256": sha256(b"weights 10").hexdigest(),
        "epoch": 1,
        "step": 10,
        "metrics": {"val/loss": 1 / 11},
    }


def test_before_the_first_checkpoint_there_is_none(store: CheckpointStore) -> None:
    assert store.read_index() == {}
    assert store.path_of("last") is None
    save(store, 10)
    assert store.path_of("best") is None


def test_the_older_checkpoint_is_deleted_only_after_the_newer_one_is_durable(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = save(store, 10)
    events: list[str] = []
    write, unlink = store_module.write_durably, Path.unlink

    def noted_write(path: Path, data: Any) -> str:
        assert old.exists()
        digest = write(path, data)
        events.append(path.name)
        return digest

    def noted_unlink(path: Path, missing_ok: bool = False) -> None:
        events.append(f"delete {path.name}")
        unlink(path, missing_ok)

    monkeypatch.setattr(store_module, "write_durably", noted_write)
    monkeypatch.setattr(Path, "unlink", noted_unlink)
    save(store, 20)
    assert events == ["step_00000020.safetensors", "index.json", "delete step_00000010.safetensors"]


@pytest.mark.parametrize("failing_write", ["step_00000020.safetensors", "index.json"])
def test_a_save_that_fails_leaves_the_previous_checkpoint_valid(
    store: CheckpointStore, monkeypatch: pytest.MonkeyPatch, failing_write: str
) -> None:
    old = save(store, 10, is_best=True)
    replace = os.replace

    def fail(source: Path, target: Path) -> None:
        if target.name == failing_write:
            raise OSError(28, "No space left on device")
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(DiskError, match="no space is left on the device"):
        save(store, 20, is_best=True)
    assert store.path_of("last") == store.path_of("best") == old
    store.verify(old)


def test_saving_a_step_again_never_touches_a_file_that_the_index_names(store: CheckpointStore) -> None:
    first = save(store, 10, is_best=True, data=b"first")
    second = save(store, 10, data=b"second")
    assert (first.read_bytes(), second.read_bytes()) == (b"first", b"second")
    third = save(store, 10, data=b"third")
    assert files(store) == {first.name, third.name}
    store.verify(first)
    store.verify(third)


def test_files_of_others_are_left_alone(store: CheckpointStore) -> None:
    save(store, 10)
    others = {"my_copy.safetensors", "step_best_ever.safetensors", "step_00000010 (copy).safetensors", "step_7.pt"}
    for name in others:
        (store.directory / name).write_bytes(b"mine")
    save(store, 20)
    store.sweep()
    assert files(store) == {*others, "step_00000020.safetensors"}


def test_a_run_stands_for_its_returned_weights_then_its_best_then_its_last(store: CheckpointStore) -> None:
    run = store.directory.parent
    last = save(store, 10)
    assert resolve_checkpoint(run) == last
    best = save(store, 20, is_best=True)
    save(store, 30)
    assert resolve_checkpoint(run) == best
    (run / "model.safetensors").write_bytes(b"weights")
    assert resolve_checkpoint(run) == run / "model.safetensors"


def test_a_file_stands_for_itself(tmp_path: Path) -> None:
    (tmp_path / "weights.pt").write_bytes(b"weights")
    assert resolve_checkpoint(tmp_path / "weights.pt") == tmp_path / "weights.pt"


def test_a_path_without_weights_is_refused_in_one_line(tmp_path: Path, store: CheckpointStore) -> None:
    with pytest.raises(UserError, match="no such checkpoint or run directory"):
        resolve_checkpoint(tmp_path / "missing")
    with pytest.raises(UserError, match=r"neither model\.safetensors nor a checkpoint"):
        resolve_checkpoint(tmp_path)
    save(store, 10).write_bytes(b"weights ??")
    with pytest.raises(UserError, match="is damaged"):
        resolve_checkpoint(store.directory.parent)


@pytest.mark.parametrize("keep_last", [1, 2, 5])
@pytest.mark.parametrize("keep_best", [1, 2, 3])
def test_the_newest_and_the_best_few_are_kept_and_no_other(tmp_path: Path, keep_last: int, keep_best: int) -> None:
    store = CheckpointStore(tmp_path, keep_last=keep_last, keep_best=keep_best)
    scores = [3.0, 1.0, 2.0, math.nan, 1.0, 4.0]
    best = math.inf
    for epoch, score in enumerate(scores, start=1):
        store.save(epoch, epoch, b"x", {"val/loss": score}, is_best=score < best, score=score)
        best = min(best, score) if score == score else best
    index = store.read_index()
    newest = [index[name]["epoch"] for name in ("last", "last_2", "last_3", "last_4", "last_5") if name in index]
    ranked = [index[name]["epoch"] for name in ("best", "best_2", "best_3") if name in index]
    assert newest == [6, 5, 4, 3, 2][:keep_last]
    assert ranked == [2, 5, 3][:keep_best]  # of equals the first
    kept = {path.name for path in tmp_path.glob("*.safetensors")}
    assert kept == {index[name]["file"] for name in index}


# -- within an epoch, and at one step more than once


def test_a_checkpoint_within_an_epoch_is_the_last_and_never_the_best(store: CheckpointStore) -> None:
    best = save(store, 10, is_best=True)
    within = store.save(13, 1, b"within", {}, False)
    assert (store.path_of("last"), store.path_of("best")) == (within, best)
    assert store.read_index()["last"] == {
        "file": within.name,
        "size": 6,
        "sha256": sha256(b"within").hexdigest(),
        "epoch": 1,
        "step": 13,
        "metrics": {},
    }


def test_a_second_checkpoint_of_a_step_takes_the_place_of_the_first(tmp_path: Path) -> None:
    """Made before the validation, which asked for nothing but time, and again when the epoch was complete."""
    store = CheckpointStore(tmp_path / "checkpoints", keep_last=3, keep_best=2)
    save(store, 10, is_best=True)
    store.save(20, 1, b"before the validation", {}, False)
    complete = store.save(20, 2, b"complete", {"val/loss": 0.5}, True, score=0.5)
    index = store.read_index()
    assert {name: (entry["step"], entry["epoch"]) for name, entry in index.items()} == {
        "last": (20, 2),
        "last_2": (10, 1),
        "best": (20, 2),
        "best_2": (10, 1),
    }
    assert files(store) == {"step_00000010.safetensors", complete.name}


def test_what_a_run_left_behind_when_it_went_back_is_forgotten(tmp_path: Path) -> None:
    """The checkpoint of step 30 was damaged, the run went on from 20; neither 30 nor its best place stays."""
    store = CheckpointStore(tmp_path / "checkpoints", keep_last=3, keep_best=3)
    for step in (10, 20, 30):
        store.save(step, step, b"old", {}, True, score=1 / step)
    store.save(25, 2, b"new", {}, False)
    steps = {name: entry["step"] for name, entry in store.read_index().items()}
    assert steps == {"last": 25, "last_2": 20, "last_3": 10, "best": 20, "best_2": 10}
    store.save(30, 30, b"new", {}, True, score=1 / 30)
    steps = {name: entry["step"] for name, entry in store.read_index().items()}
    assert steps == {"last": 30, "last_2": 25, "last_3": 20, "best": 30, "best_2": 20, "best_3": 10}
    assert len(files(store)) == 4


def test_of_whole_checkpoints_the_newest_is_found(saved: CheckpointStore) -> None:
    found = saved.newest_valid()
    assert found.path == saved.path_of("last") and found.entry == saved.read_index()["last"] and found.rejected == []


def test_when_the_newest_are_damaged_the_best_is_taken(saved: CheckpointStore) -> None:
    (saved.directory / "step_00000030.safetensors").write_bytes(b"")
    (saved.directory / "step_00000020.safetensors").unlink()
    found = saved.newest_valid()
    assert found.path.name == "step_00000010.safetensors"
    first, second = found.rejected
    assert "30.safetensors is damaged" in first and "20.safetensors cannot be read" in second


def test_when_none_is_valid_each_is_named_in_one_line(saved: CheckpointStore) -> None:
    for path in saved.directory.glob("step_*"):
        path.write_bytes(b"x")
    with pytest.raises(UserError, match="no checkpoint that can be used") as caught:
        saved.newest_valid()
    assert all(f"step_000000{step}.safetensors is damaged" in str(caught.value) for step in (10, 20, 30))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b'{"last": {}}', b"\xff"])
def test_without_an_index_the_newest_whole_file_is_taken_and_the_next_index_names_all(
    saved: CheckpointStore, content: bytes | None
) -> None:
    saved.index_path.unlink() if content is None else saved.index_path.write_bytes(content)
    (saved.directory / "step_00000030.safetensors").write_bytes(whole(30)[:-1])
    assert not saved.is_empty()
    found = saved.newest_valid()
    assert found.path.name == "step_00000020.safetensors" and found.entry is None
    assert "index.json is" in found.rejected[0] and "unverified" in found.rejected[0]
    assert "step_00000030.safetensors is damaged" in found.rejected[1]

    assert saved.sweep() == []
    index = saved.read_index()
    assert {name: (entry["step"], entry["epoch"]) for name, entry in index.items()} == {
        "last": (20, None),
        "last_2": (10, None),
    }
    for entry in index.values():
        saved.verify(saved.directory / entry["file"])
    save(saved, 30, data=whole(30))
    assert saved.newest_valid().path == saved.path_of("last")


def test_an_index_that_is_lost_with_its_files_is_told(saved: CheckpointStore) -> None:
    for path in saved.directory.glob("step_*"):
        path.unlink()
    saved.index_path.write_bytes(b"{")
    assert not saved.is_empty()
    with pytest.raises(UserError, match=r"no checkpoint that can be used; .*index\.json is damaged"):
        saved.newest_valid()


# -- killed writes


def test_before_anything_is_saved_there_is_nothing_to_find(store: CheckpointStore) -> None:
    assert store.is_empty()
    assert store.sweep() == []
    with pytest.raises(UserError, match="no checkpoint that can be used"):
        store.newest_valid()


KILLED = """
import os, signal, sys
from pathlib import Path
from labwright.runs import CheckpointStore
from labwright.runs.checkpoints import store as store_module

store = CheckpointStore(Path(sys.argv[1]))
write = store_module.write_durably

def write_and_die(path, data):
    if path.name == sys.argv[2] and sys.argv[3] == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    if path.name == sys.argv[2] and sys.argv[3] == "within":
        data = lambda file: os.kill(os.getpid(), signal.SIGKILL)
    digest = write(path, data)
    if path.name == sys.argv[2] and sys.argv[3] == "after" and data != b"{}\\n":
        os.kill(os.getpid(), signal.SIGKILL)
    return digest

store_module.write_durably = write_and_die
store.save(int(sys.argv[4]), 1, Path(sys.argv[5]).read_bytes(), {}, True)
"""


@pytest.mark.parametrize("moment", ["before", "within", "after"])
@pytest.mark.parametrize("file", ["step_00000020.safetensors", "index.json"])
@pytest.mark.parametrize("is_first", [False, True], ids=["second", "first"])
def test_a_save_that_is_killed_leaves_a_whole_checkpoint_and_orphans_that_are_swept(
    store: CheckpointStore, tmp_path: Path, moment: str, file: str, is_first: bool
) -> None:
    if not is_first:
        save(store, 10, is_best=True, data=whole(10))
    (tmp_path / "data").write_bytes(whole(20))
    words = [str(store.directory), file, moment, "20", str(tmp_path / "data")]
    result = subprocess.run([sys.executable, "-c", KILLED, *words])
    assert result.returncode == -signal.SIGKILL

    is_saved = file == "index.json" and moment == "after"
    if is_first and not is_saved:
        assert store.is_empty()
        store.sweep()
        assert files(store) == set()
        return
    found = store.newest_valid()
    store.sweep()
    name = "step_00000020.safetensors" if is_saved else "step_00000010.safetensors"
    assert found.path.name == name and found.rejected == []
    assert files(store) == {name}
    assert found.path == store.path_of("best")


def test_sweeping_cleans_the_whole_run_directory(saved: CheckpointStore) -> None:
    run = saved.directory.parent
    names = [
        ".run.json.0a1b2c3d.tmp",
        "checkpoints/.index.json.0a1b2c3d.tmp",
        "checkpoints/step_00000040.safetensors",
        "checkpoints/step_00000030_2.safetensors",
        "artifacts/.k.json.0a1b2c3d.tmp",
        "predictions/.test.csv.0a1b2c3d.tmp",
    ]
    before = {path for path in run.rglob("*") if path.is_file()}
    for name in names:
        (run / name).parent.mkdir(exist_ok=True)
        (run / name).write_bytes(b"")
    assert set(saved.sweep()) == {run / name for name in names}
    assert {path for path in run.rglob("*") if path.is_file()} == before


def test_an_orphan_of_the_same_step_is_overwritten(store: CheckpointStore) -> None:
    save(store, 10)
    (store.directory / "step_00000020.safetensors").write_bytes(b"orphan")
    path = save(store, 20)
    assert path.name == "step_00000020.safetensors"
    store.verify(path)
