"""Small datasets of shards."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from labwright.shards import ShardWriter

NUM_TRAIN, NUM_VAL = 10, 3


def label(number: int) -> int:
    """The class of a sample of `dataset`."""
    return number % 3


def values(number: int) -> np.ndarray:
    """The array of a sample of `dataset`."""
    return np.arange(number, number + 6, dtype=np.float32).reshape(2, 3)


@pytest.fixture(scope="session")
def numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that no test may change."""
    path = tmp_path_factory.mktemp("shards") / "numbers"
    with ShardWriter(
        path, ["npy", "cls"], shard_samples=4, metadata={"class_names": ["a", "b", "c"]}, progress=False
    ) as writer:
        for split, count in (("train", NUM_TRAIN), ("val", NUM_VAL)):
            for number in range(count):
                writer.write(split, f"{split}/{number:03d}", {"npy": values(number), "cls": label(number)})
    return path


@pytest.fixture
def dataset(numbers: Path, tmp_path: Path) -> Path:
    """A dataset with an array and a class per sample: train has 10 samples in 3 shards, val 3 in one."""
    return Path(shutil.copytree(numbers, tmp_path / "numbers"))
