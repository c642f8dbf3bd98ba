import json
import math
import os
from hashlib import sha256
from pathlib import Path

import pytest

from labwright.args.errors import UserError
from labwright.runs import checkpoints as checkpoints_module
from labwright.runs.checkpoints import CheckpointStore, resolve_checkpoint


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints")


def files(store: CheckpointStore) -> set[str]:
    return set(os.listdir(store.directory)) - {"index.json"}


def save(store: CheckpointStore, step: int, *, is_best: bool = False, data: bytes | None = None) -> Path:
    return store.save(step, step // 10, data or b"weights %d" % step, {"val/loss": 1 / (step + 1)}, is_best)


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
    write, unlink = checkpoints_module.write_durably, Path.unlink

    def noted_write(path: Path, data: bytes) -> str:
        assert old.exists()
        digest = write(path, data)
        events.append(path.name)
        return digest

    def noted_unlink(path: Path, missing_ok: bool = False) -> None:
        events.append(f"delete {path.name}")
        unlink(path, missing_ok)

    monkeypatch.setattr(checkpoints_module, "write_durably", noted_write)
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
    with pytest.raises(OSError, match="No space left"):
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
    (store.directory / "my_copy.safetensors").write_bytes(b"mine")
    save(store, 20)
    assert files(store) == {"my_copy.safetensors", "step_00000020.safetensors"}


def test_damage_is_found_by_size_and_by_content(store: CheckpointStore) -> None:
    path = save(store, 10)
    store.verify(path)
    path.write_bytes(b"weights 1")
    with pytest.raises(UserError, match=r"step_00000010\.safetensors is damaged: it has 9 bytes instead of 10"):
        store.verify(path)
    path.write_bytes(b"weights 1O")
    with pytest.raises(UserError, match="is damaged: its content differs"):
        store.verify(path)
    path.unlink()
    with pytest.raises(UserError, match="cannot be read: No such file"):
        store.verify(path)
    with pytest.raises(UserError, match=r"index\.json does not name"):
        store.verify(store.directory / "step_00000099.safetensors")


@pytest.mark.parametrize("file", ["../model.safetensors", "/etc/passwd", "..", "", "a/b", 3, None])
def test_an_index_cannot_name_files_elsewhere(store: CheckpointStore, file: object) -> None:
    save(store, 10)
    index = json.loads(store.index_path.read_bytes())
    index["last"]["file"] = file
    store.index_path.write_text(json.dumps(index))
    with pytest.raises(UserError, match=r"index\.json is damaged: .* is not a file name"):
        save(store, 20)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"last": 3}', '{"last": {"file": "x"}}', '{"last": null}', "3"])
def test_a_damaged_index_is_named(store: CheckpointStore, content: str) -> None:
    store.directory.mkdir(parents=True)
    store.index_path.write_text(content)
    with pytest.raises(UserError, match=r"index\.json is damaged"):
        store.read_index()


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
