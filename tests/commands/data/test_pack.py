"""`data pack`: files become shards."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labwright.commands.data.writing import size_of
from labwright.shards import ShardDataset

from ...conftest import Ended

CommandLine = Callable[..., Ended]


@pytest.fixture
def pets(tmp_path: Path) -> Path:
    """Ten pictures each of two patients' cats and dogs, in folders of classes."""
    for number in range(20):
        path = tmp_path / "pets" / ("cat", "dog")[number % 2] / f"p{number // 5}_{number:02d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((4, 5, 3), number, np.uint8)).save(path)
    return tmp_path / "pets"


def test_a_folder_is_packed_and_summed_up(command_line: CommandLine, pets: Path, tmp_path: Path) -> None:
    done = command_line("data", "pack", str(pets), "shards", "--test_fraction=0.2")
    assert done.code == 0, done.err
    assert f"packing {pets} as a folder of classes" in done.err
    first, *table = done.out.splitlines()
    assert first.startswith("shards: 20 samples written in ")
    assert [line.split() for line in table] == [
        ["train", "test"], ["samples", "16", "4"], ["cls", "cat", "8", "2"], ["cls", "dog", "8", "2"]
    ]  # fmt: skip
    sample = ShardDataset(tmp_path / "shards", "test", raw=True)[0]
    assert sample["png"] == (pets / f"{sample['name']}.png").read_bytes()


def test_a_script_gets_all_of_it_as_json(command_line: CommandLine, pets: Path) -> None:
    (pets / "cat/notes.txt").write_text("hello")
    facts = json.loads(command_line("data", "pack", str(pets), "shards", "--skip-unreadable", "--json").out)
    assert (facts["path"], facts["num_samples"], facts["num_shards"]) == ("shards", 20, 1)
    assert facts["splits"] == {"train": {"num_samples": 20, "classes": {"cls": {"0": 10, "1": 10}}}}
    assert facts["left_out"] == [f"{pets}/cat/notes.txt is no image that is known by its ending"]


@pytest.mark.slow
def test_groups_stay_in_one_split(command_line: CommandLine, pets: Path, tmp_path: Path) -> None:
    words = ("--val_fraction=0.25", "--test_fraction=0.25", "--group=key:_", "--stratify=cls")
    done = command_line("data", "pack", str(pets), "shards", *words)
    assert done.code == 0, done.err
    owners: dict[str, set[str]] = {}
    for split in ("train", "val", "test"):
        for key in ShardDataset(tmp_path / "shards", split).keys:
            owners.setdefault(key.rpartition("_")[0], set()).add(split)
    assert all(len(splits) == 1 for splits in owners.values())


@pytest.mark.slow
def test_more_is_added_to_a_dataset_by_its_own_classes(command_line: CommandLine, pets: Path, tmp_path: Path) -> None:
    assert command_line("data", "pack", str(pets), "shards").code == 0
    Image.new("RGB", (5, 4)).save(tmp_path / "new.png")
    (tmp_path / "more/dog").mkdir(parents=True)
    (tmp_path / "new.png").rename(tmp_path / "more/dog/new.png")
    assert command_line("data", "pack", "more", "shards", "--append").code == 0
    shards = ShardDataset(tmp_path / "shards", "train")
    assert len(shards) == 21 and shards[20]["cls"] == 1
    (tmp_path / "more/dog").rename(tmp_path / "more/cow")
    assert "cow in more is no class of the dataset" in command_line("data", "pack", "more", "shards", "--append").error


@pytest.mark.slow
def test_metadata_is_kept(command_line: CommandLine, pets: Path, tmp_path: Path) -> None:
    assert command_line("data", "pack", str(pets), "shards", '--metadata={"mean": 3}').code == 0
    assert ShardDataset(tmp_path / "shards", "train").metadata == {"class_names": ["cat", "dog"], "mean": 3}


def test_a_csv_file_says_what_is_left_out(command_line: CommandLine, pets: Path) -> None:
    (pets / "all.csv").write_text("png,cls,age\ncat/p0_00.png,cat,3\n")
    done = command_line("data", "pack", str(pets / "all.csv"), "shards")
    assert done.code == 0, done.err
    assert done.err.splitlines() == [
        f"packing {pets}/all.csv as a CSV manifest", "note: columns that are not packed: age"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing", "out"], "nothing does not exist"),
        (["pets"], "data pack: the following arguments are required: DEST"),
        (["pets", "pets/out"], "pets/out lies in pets, which is read: write somewhere else"),
        (["pets", "pets"], "pets lies in pets, which is read"),
        (["pets/cat/p0_00.png", "out"], "pets/cat/p0_00.png is no .csv file"),
        (["pets", "out", "--format=cvs"], "argument --format: invalid choice: 'cvs'"),
        (
            ["pets", "out", "--fields=jpg"],
            "the field 'jpg' needs the column \"jpg\", which a folder of classes does not",
        ),
        (["pets", "out", "--fields=png=picture"], "the field 'png' needs the column \"picture\""),
        (["pets", "out", "--fields=png=image,png=class"], "--fields=png=image,png=class: png is there twice"),
        (["pets", "out", "--fields=,"], "--fields=,: write NAME=VALUE"),
        (["pets", "out", "--val_fraction=1.5"], "--val_fraction=1.5 is no share: from 0 to below 1"),
        (["pets", "out", "--val_fraction=nan"], "--val_fraction=nan is no share"),
        (["pets", "out", "--val_fraction=0.5", "--test_fraction=0.5"], "leave nothing to train on"),
        (["pets", "out", "--val_fraction=0.001"], "val_fraction=0.001 of 20 samples is none"),
        (["pets", "out", "--group=cls"], "--group and --stratify say how samples are held out"),
        (["pets", "out", "--val_fraction=0.1", "--group=cls", "--stratify=cls"], "are both 'cls'"),
        (["pets", "out", "--val_fraction=0.1", "--group=age"], "samples cannot be divided by 'age'; by 'class', 'cls'"),
        (["pets", "out", "--val_fraction=0.1", "--group=key:+"], "the key 'cat/p0_00' has no '+' to be cut at"),
        (["pets", "out", "--val_fraction=0.1", "--seed=-1"], "--seed=-1 is no seed: 0 or more"),
        (["pets", "out", "--shard_bytes=5"], "--shard_bytes=5 is no size of a shard: write 512K, 64M or 1G"),
        (["pets", "out", "--num_workers=0"], "--num_workers=0: at least 1"),
        (["pets", "out", "--shard_samples=0"], "--shard_samples=0: at least 1"),
        (["pets", "out", "--metadata=3"], "--metadata=3 is no JSON object"),
        (["pets", "out", "--metadata={"], "--metadata is no JSON"),
        (["pets", "out", "--append"], "out is no dataset of shards"),
        (["pets", "pets.txt"], "pets.txt is a file; a dataset is a directory"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    command_line: CommandLine, pets: Path, tree: Callable[[Path], Mapping[str, bytes]], words: list[str], said: str
) -> None:
    (pets.parent / "pets.txt").write_text("precious")
    before = tree(pets.parent)
    assert said in command_line("data", "pack", *words).error
    assert tree(pets.parent) == before


def test_an_image_that_is_damaged_is_named_with_the_flag_that_leaves_it_out(
    command_line: CommandLine, pets: Path
) -> None:
    (pets / "dog/cut.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    error = command_line("data", "pack", str(pets), "shards").error
    assert error.startswith(f"{pets}/dog/cut.png: ")
    assert error.endswith("; --skip_unreadable leaves out what cannot be packed, and lists it")


@pytest.mark.slow
def test_shards_are_not_packed_again(command_line: CommandLine, pets: Path) -> None:
    assert command_line("data", "pack", str(pets), "shards").code == 0
    assert "shards holds shards already" in command_line("data", "pack", "shards", "out").error


def test_sizes_have_units() -> None:
    assert [size_of(text) for text in ("4096", "512K", "64M", "1G", "1.5m", "2MiB", "1gb")] == [
        4096, 512 << 10, 64 << 20, 1 << 30, 3 << 19, 2 << 20, 1 << 30
    ]  # fmt: skip
