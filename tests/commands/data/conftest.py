"""Small datasets for the verbs of `run.py data`, written once."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labwright.shards.writer import ShardWriter


@pytest.fixture(scope="session")
def pets_of_all(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five samples in `train`, three to a shard, and one in `test`: images of two sizes, masks, classes, captions."""
    folder = tmp_path_factory.mktemp("written") / "pets"
    names = {"cls": ["cat", "dog"], "seg8": ["background", "ear", "tail"]}
    fields = ["png", "cls", "seg8", "json", "left.npy"]
    with ShardWriter(folder, fields, shard_samples=3, metadata={"class_names": names}, progress=False) as writer:
        for number in range(6):
            height, width = (24, 16) if number % 2 else (12, 20)
            image = np.full((height, width, 3), 40 * number, np.uint8)
            mask = np.zeros((height, width), np.uint8)
            mask[2:8, 3:9] = 1 + number % 2
            sample = {"png": image, "cls": number % 2, "seg8": mask, "json": {"caption": f"pet {number}"}}
            split = "test" if number == 5 else "train"
            array = np.arange(12, dtype=np.float32).reshape(3, 4) + number
            writer.write(split, f"{split}/{number:03}", {**sample, "left.npy": array})
    return folder


@pytest.fixture
def pets(pets_of_all: Path, tmp_path: Path) -> Path:
    """The dataset, to do with as a test likes."""
    return Path(shutil.copytree(pets_of_all, tmp_path / "pets"))


@pytest.fixture
def damage(pets: Path) -> Callable[[str], None]:
    """Changes one bit of a field of the dataset: `damage("train/001.png")`."""
    from labwright.shards import open_dataset

    def change(name: str) -> None:
        key, _, field = name.partition(".")
        dataset = open_dataset(pets)
        for split in map(dataset.split, dataset.splits):
            position = split.index.keys.find(key)
            if position is not None:
                record = split.index.records[position]
                with open(split.shards[int(record["shard"])].path, "r+b") as file:
                    offset = int(record["fields"][field]["offset"]) + int(record["fields"][field]["size"]) // 2
                    file.seek(offset)
                    byte = file.read(1)[0]
                    file.seek(offset)
                    file.write(bytes([byte ^ 1]))

    return change
