"""IDX files."""

from pathlib import Path

import numpy as np
import pytest

from labwright.datasets.idx import read_idx
from labwright.shards import ShardError
from labwright.shards.sources.base import Source
from labwright.shards.sources.idx import idx_source, is_idx_folder


def save(path: Path, array: np.ndarray) -> None:
    code = {np.dtype(np.uint8): 0x08, np.dtype(">f4"): 0x0D}[array.dtype]
    sizes = b"".join(size.to_bytes(4) for size in array.shape)
    path.write_bytes(bytes([0, 0, code, array.ndim]) + sizes + array.tobytes())


def opened(folder: Path, fields: dict[str, str] | None = None) -> Source:
    return idx_source(folder, fields, read=lambda path: read_idx(path).array)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, count in (("train", 3), ("t10k", 2)):
        save(tmp_path / f"{name}-images-idx3-ubyte", np.arange(count * 6, dtype=np.uint8).reshape(count, 2, 3))
        save(tmp_path / f"{name}-labels-idx1-ubyte", np.arange(count, dtype=np.uint8))
    return tmp_path


def test_images_and_labels_are_paired_and_t10k_is_the_test_set(folder: Path) -> None:
    source = opened(folder)
    assert source.fields == {"png": "png", "cls": "cls"}
    assert source.metadata == {"class_names": ["0", "1", "2"]}
    assert {split: list(samples.keys) for split, samples in source.splits.items()} == {
        "train": ["00000000", "00000001", "00000002"],
        "test": ["00000000", "00000001"],
    }
    [sample] = source.splits["test"].read([1])
    assert isinstance(sample, dict) and sample["cls"] == 1
    np.testing.assert_array_equal(sample["png"], np.arange(6, 12).reshape(2, 3))
    assert is_idx_folder(folder)


def test_arrays_are_packed_as_arrays(folder: Path) -> None:
    for name, count in (("train", 3), ("t10k", 2)):
        save(folder / f"{name}-images-idx3-ubyte", np.ones((count, 4), ">f4"))
    assert opened(folder).fields == {"npy": "npy", "cls": "cls"}
    assert opened(folder, {"npy": "image"}).metadata == {}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("other labels", "do not belong together: \\[3, 2, 3\\] and \\[2\\]"),
        ("no labels", "has train-images-idx3-ubyte, but not the labels of train"),
        ("twice", "has both train-images-idx3-ubyte and train-images-idx3-ubyte.gz; keep one"),
        ("nothing", "has no IDX files such as train-images-idx3-ubyte; it has other"),
    ],
)
def test_files_that_do_not_fit_are_refused(folder: Path, change: str, said: str) -> None:
    labels = folder / "train-labels-idx1-ubyte"
    if change == "other labels":
        save(labels, np.arange(2, dtype=np.uint8))
    elif change == "no labels":
        labels.unlink()
    elif change == "twice":
        (folder / "train-images-idx3-ubyte.gz").touch()
    else:
        for path in folder.iterdir():
            path.unlink()
        (folder / "other").touch()
    with pytest.raises(ShardError, match=said):
        opened(folder)
