"""Hugging Face datasets on disk."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright.shards import ShardError
from labwright.shards.sources.base import Source, Unreadable
from labwright.shards.sources.huggingface import huggingface_source

from .conftest import SavePicture

pytestmark = pytest.mark.slow  # the library takes a second and more to import


@pytest.fixture
def stored(tmp_path: Path, save_picture: SavePicture) -> Path:
    """Pictures, labels, captions, vectors and boxes, three for training and one for the test."""
    from datasets import ClassLabel, Dataset, DatasetDict, Features, Image, List, Value
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    features = Features(
        {
            "caption": Value("string"),
            "label": ClassLabel(names=["cat", "dog"]),
            "picture": Image(),
            "vector": List(Value("float32")),
            "box": {"x": Value("int32")},
        }
    )

    def rows(count: int) -> Dataset:
        names = [tmp_path / f"{number}.png" for number in range(count)]
        for number, name in enumerate(names):
            save_picture(name, number)
        return Dataset.from_dict(
            {
                "caption": [f"number {number}" for number in range(count)],
                "label": [number % 2 for number in range(count)],
                "picture": [str(name) for name in names],
                "vector": [[0.5, number] for number in range(count)],
                "box": [{"x": number} for number in range(count)],
            },
            features=features,
        )

    DatasetDict({"train": rows(3), "test": rows(1)}).save_to_disk(tmp_path / "stored")
    return tmp_path / "stored"


def first(source: Source) -> dict[str, Any] | Unreadable:
    return next(iter(source.splits["train"].read([0])))


def test_columns_become_fields_and_images_stay_as_they_are(stored: Path) -> None:
    source = huggingface_source(stored)
    assert source.fields == {
        "png": "png", "cls": "cls", "caption.txt": "txt", "vector.npy": "npy", "box.json": "json"
    }  # fmt: skip
    assert source.metadata == {"class_names": ["cat", "dog"]}
    assert {name: len(samples.keys) for name, samples in source.splits.items()} == {"train": 3, "test": 1}
    sample = first(source)
    assert isinstance(sample, dict)
    assert sample["png"] == (stored.parent / "0.png").read_bytes()
    assert (sample["cls"], sample["caption.txt"], sample["box.json"]) == (0, "number 0", {"x": 0})
    np.testing.assert_array_equal(sample["vector.npy"], np.array([0.5, 0], np.float32), strict=True)
    assert source.splits["train"].labels("caption") == ["number 0", "number 1", "number 2"]


def test_fields_can_be_chosen_and_images_encoded_anew(stored: Path) -> None:
    source = huggingface_source(stored, {"jpg": "picture", "cls": "label"})
    sample = first(source)
    assert isinstance(sample, dict) and sample["jpg"].startswith(b"\xff\xd8\xff")
    assert source.notes == ("columns that are not packed: caption, vector, box",)
    with pytest.raises(ShardError, match="the field 'jpg' needs the column \"pictur\".*did you mean 'picture'"):
        huggingface_source(stored, {"jpg": "pictur"})


def test_what_is_no_such_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="is not a directory that save_to_disk wrote"):
        huggingface_source(tmp_path)


def test_missing_values_are_told_by_row_and_column(tmp_path: Path) -> None:
    from datasets import ClassLabel, Dataset, Features, Value
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    features = Features({"label": ClassLabel(names=["a", "b"]), "text": Value("string")})
    Dataset.from_dict({"label": [-1, 1], "text": ["x", None]}, features=features).save_to_disk(tmp_path / "stored")
    found = [*huggingface_source(tmp_path / "stored").splits["train"].read([0, 1])]
    assert [str(error).removeprefix(f"{tmp_path}/stored, train, ") for error in found] == [
        "row 0, column 'label' is -1: it has no label",
        "row 1, column 'text' is empty",
    ]
