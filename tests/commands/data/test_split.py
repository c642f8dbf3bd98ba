"""`data split`: a dataset is divided."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from labwright.shards import ShardDataset, ShardWriter

from ...conftest import Ended

CommandLine = Callable[..., Ended]


@pytest.fixture
def patients(tmp_path: Path) -> Path:
    """Forty samples of ten patients and two classes, and a test set."""
    with ShardWriter(tmp_path / "all", ["txt", "cls"], metadata={"class_names": ["a", "b"]}, progress=False) as writer:
        for number in range(40):
            patient = number // 4
            writer.write("train", f"p{patient}_{number}", {"txt": f"patient {patient}", "cls": patient % 2})
        writer.write("test", "last", {"txt": "other", "cls": 0})
    return tmp_path / "all"


def read(path: Path, split: str) -> dict[str, tuple[bytes, bytes]]:
    shards = ShardDataset(path, split, raw=True)
    return {sample["name"]: (sample["txt"], sample["cls"]) for sample in map(shards.__getitem__, range(len(shards)))}


def test_samples_are_held_out_by_class_and_the_rest_stays(command_line: CommandLine, patients: Path) -> None:
    done = command_line("data", "split", str(patients), "divided", "--val_fraction=0.2")
    assert done.code == 0, done.err
    assert [line.split() for line in done.out.splitlines()[1:]] == [
        ["train", "test", "val"], ["samples", "32", "1", "8"],
        ["cls", "a", "16", "1", "4"], ["cls", "b", "16", "0", "4"]
    ]  # fmt: skip
    divided = patients.parent / "divided"
    assert read(divided, "train") | read(divided, "val") == read(patients, "train")
    assert read(divided, "test") == read(patients, "test")
    assert ShardDataset(divided, "val").metadata == {"class_names": ["a", "b"]}


@pytest.mark.slow
@pytest.mark.parametrize("group", ["txt", "key:_"])
def test_groups_stay_whole_and_classes_are_balanced(command_line: CommandLine, patients: Path, group: str) -> None:
    words = ("--val_fraction=0.2", f"--group={group}", "--stratify=cls", "--json")
    facts = json.loads(command_line("data", "split", str(patients), "divided", *words).out)
    assert facts["splits"]["val"]["classes"] == {"cls": {"0": 4, "1": 4}}
    divided = patients.parent / "divided"
    owners = [{txt for txt, _ in read(divided, split).values()} for split in ("train", "val")]
    assert not owners[0] & owners[1]


@pytest.mark.slow
def test_the_same_seed_gives_the_same_files(
    command_line: CommandLine, patients: Path, tree: Callable[[Path], Mapping[str, bytes]]
) -> None:
    for name, seed in (("one", 1), ("again", 1), ("other", 2)):
        assert command_line("data", "split", str(patients), name, "--val_fraction=0.2", f"--seed={seed}").code == 0
    folder = patients.parent
    assert tree(folder / "one") == tree(folder / "again") != tree(folder / "other")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "say how much is held out: --val_fraction=0.1, --test_fraction=0.2, or both"),
        (["--test_fraction=0.1"], "there is a split 'test' already: leave out --test_fraction"),
        (
            ["--val_fraction=0.1", "--split=tran"],
            "there is no split 'tran' to hold samples out of; there are train, test",
        ),
        (["--val_fraction=0.1", "--group=age"], "no field 'age' to divide samples by; there are txt, cls"),
        (["--val_fraction=0.1", "--stratify=age"], "no field 'age' to divide samples by"),
        (["--val_fraction=-1"], "--val_fraction=-1 is no share"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    command_line: CommandLine, patients: Path, words: list[str], said: str
) -> None:
    assert said in command_line("data", "split", str(patients), "divided", *words).error
    assert not (patients.parent / "divided").exists()
