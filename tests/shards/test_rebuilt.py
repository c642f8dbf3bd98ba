import os
import shutil
from pathlib import Path

import pytest

from labwright.runs.lock import RunIsBusy, RunLock
from labwright.shards import ShardError, ShardWriter, open_dataset, rebuild, verify
from labwright.shards.manifest import MANIFEST

from .quix_writer import write_quix
from .tars import plain, write_tar
from .test_opened import contents


def refusal(path: Path) -> str:
    before = {each.name: each.stat().st_mtime_ns for each in path.glob("*")}
    with pytest.raises(ShardError) as refused:
        rebuild(path)
    assert {each.name: each.stat().st_mtime_ns for each in path.glob("*")} == before
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_rebuilt_index_and_manifest_are_those_of_the_writer(dataset: Path) -> None:
    whole = {path.name: path.read_bytes() for path in dataset.iterdir()}
    for path in [*dataset.glob("*.npy"), *dataset.glob("*.keys")]:
        path.write_bytes(b"damaged")
    told: list[int] = []
    rebuilt = rebuild(dataset, progress=told.append)
    assert rebuilt.notes == () and rebuilt.manifest.metadata == {"class_names": ["a", "b", "c"]}
    assert {path.name: path.read_bytes() for path in dataset.iterdir()} == whole
    assert sum(told) == sum(path.stat().st_size for path in dataset.glob("*.tar"))


def test_tar_files_alone_make_a_dataset(dataset: Path) -> None:
    for path in dataset.iterdir():
        if path.suffix != ".tar":
            path.unlink()
    rebuild(dataset)
    opened = open_dataset(dataset)
    assert (opened.kind, opened.splits, opened.codecs) == ("labwright", ("train", "val"), {"npy": "npy", "cls": "cls"})
    assert list(verify(dataset)) == [] and opened.split("train").num_samples == 10


def test_damaged_manifest_is_kept_and_said(dataset: Path) -> None:
    (dataset / MANIFEST).write_text('{"metadata": {"licence": "CC0"}')
    (note,) = rebuild(dataset).notes
    assert "is damaged" in note and note.endswith("what can be read of them is in dataset.json.damaged")
    assert "CC0" in (dataset / "dataset.json.damaged").read_text()
    assert list(verify(dataset)) == []


def test_codecs_that_the_names_do_not_tell_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "d"
    with ShardWriter(path, ["label"], codecs={"label": "cls"}, splits=["train", "test"], progress=False) as writer:
        writer.write("train", "a", {"label": 3})
    before = (path / MANIFEST).read_bytes()
    rebuild(path)
    assert (path / MANIFEST).read_bytes() == before
    assert open_dataset(path).codecs == {"label": "cls"} and open_dataset(path).split("test").num_samples == 0


def test_changed_shard_is_refused_or_accepted_with_a_note(dataset: Path) -> None:
    """Its new checksums would hide that it was damaged."""
    write_tar(dataset / "val-000000.tar", [("x.npy", b"1"), ("x.cls", b"2")])
    write_tar(dataset / "stray-000000.tar", [("y.npy", b"1")])
    assert refusal(dataset) == (
        "val-000000.tar: it is not the file that was written (SHA-256): `labwright data verify` names what is damaged; "
        "--accept_changes takes it as it is"
    )
    (note,) = rebuild(dataset, accept_changes=True).notes
    assert note.startswith("val-000000.tar: it is not the file that was written (SHA-256)")
    assert note.endswith(" and counts as it is now: 3 samples before, 1 now")
    assert open_dataset(dataset).splits == ("train", "val")
    assert [each.is_debris for each in verify(dataset)] == [True, True, True]  # the stray one, and val's old index


def test_rebuild_that_would_lose_samples_is_refused(dataset: Path) -> None:
    shard = dataset / "train-000001.tar"
    data = shard.read_bytes()
    shard.unlink()
    assert refusal(dataset) == "train-000001.tar: it is missing"
    shard.write_bytes(data[:3000])
    assert "train-000001.tar: it " in refusal(dataset)
    shard.write_bytes(plain([("a.npy", b""), ("a.txt", b"")]))
    with pytest.raises(ShardError) as refused:
        rebuild(dataset, accept_changes=True)
    assert str(refused.value) == "'a.txt' in train-000001.tar: dataset.json knows no such field, only npy, cls"
    shard.write_bytes((dataset / "train-000000.tar").read_bytes())
    assert refusal(dataset) == "'train/000.npy' in train-000001.tar: its key is in an earlier shard too"


def test_directory_of_webdataset_becomes_a_dataset_in_place(tmp_path: Path) -> None:
    for number in range(3):
        members = [(f"{number}/{name}", name.encode()) for name in ("a.jpg", "a.cls", "b.jpg")]
        write_tar(tmp_path / f"birds-train-{number:04d}.tar", members)
    rebuilt = rebuild(tmp_path)
    assert rebuilt.notes == ("train: 3 of 6 samples have no cls",)
    opened = open_dataset(tmp_path)
    assert opened.kind == "labwright" and opened.split("train").has_checksums and list(verify(tmp_path)) == []
    assert contents(opened.split("train"), "jpg") == [b"a.jpg", b"b.jpg"] * 3


def test_directory_of_quix_becomes_a_dataset_in_place(tmp_path: Path) -> None:
    samples = [(f"{number:03d}", {"cls": b"1"}) for number in range(9)]
    path = write_quix(tmp_path / "q", {"train": samples, "val": samples[:1]}, metadata={"num_classes": 2})
    rebuild(path)
    opened = open_dataset(path)
    assert opened.kind == "labwright" and opened.metadata["num_classes"] == 2 and opened.splits == ("train", "val")


@pytest.mark.parametrize(
    ("name", "members", "message"),
    [
        (
            "a b.tar",
            ["x.jpg"],
            "a b.tar: a shard is named with letters, digits, _, - and dots; `labwright data",
        ),
        ("train/0.tar", ["x.jpg"], "train/0.tar: a dataset has its shards side by side, not in folders; `labwright"),
        ("0.tar", ["README"], "0.tar: the member 'README': a field cannot be called ''"),
        ("0.tar", ["a/.x.jpg"], "has an empty part"),
    ],
)
def test_what_cannot_become_a_dataset_in_place_is_refused(
    tmp_path: Path, name: str, members: list[str], message: str
) -> None:
    write_tar(tmp_path / name, [(member, b"") for member in members])
    assert message in refusal(tmp_path)


def test_keys_of_quix_with_dots_are_not_cut_elsewhere_in_place(tmp_path: Path) -> None:
    path = write_quix(tmp_path / "q", {"train": [("a.1", {"jpg": b""}), ("a.2", {"jpg": b""})]})
    assert "quix does not cut this name into 'a' and '1.jpg'; `labwright data convert` writes" in refusal(path)


def test_directory_without_samples_or_without_shards_is_refused(tmp_path: Path) -> None:
    assert "holds no dataset of shards" in refusal(tmp_path)
    write_tar(tmp_path / "0.tar", [])
    assert refusal(tmp_path) == f"{tmp_path} has no samples: there is nothing to make an index of"
    assert refusal(tmp_path / "0.tar") == (
        f"{tmp_path / '0.tar'} is not a directory; an index is made in the directory of the shards"
    )
    assert refusal(tmp_path / "absent") == (
        f"{tmp_path / 'absent'} does not exist; an index is made in the directory of the shards"
    )


def test_unfinished_dataset_is_refused(dataset: Path) -> None:
    os.remove(dataset / MANIFEST)
    (dataset / ".writing").mkdir()
    assert "was not finished" in refusal(dataset)
    shutil.rmtree(dataset / ".writing")
    rebuild(dataset)


def test_writer_at_work_is_left_alone(dataset: Path) -> None:
    with RunLock.take(dataset), pytest.raises(RunIsBusy, match="is being written by another process"):
        rebuild(dataset)


def test_interrupted_rebuild_leaves_what_was_there(dataset: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_tar(dataset / "val-000000.tar", [("x.npy", b"1"), ("x.cls", b"2")])
    before = (dataset / MANIFEST).read_bytes()

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("labwright.shards.rebuilt.write_manifest", killed)
        rebuild(dataset, accept_changes=True)
    assert (dataset / MANIFEST).read_bytes() == before and len(open_dataset(dataset).split("val").index) == 3
    rebuild(dataset, accept_changes=True)
    assert len(open_dataset(dataset).split("val").index) == 1
