import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labwright.args import UserError
from labwright.datasets.args import HuggingFaceDataArgs
from labwright.datasets.huggingface import from_huggingface

hf = pytest.importorskip("datasets")


@pytest.fixture
def flowers() -> Any:
    """Forty rows: two numbers, a vector, and a class by name and by number."""
    rng = np.random.default_rng(0)
    features = hf.Features(
        {
            "length": hf.Value("float32"),
            "width": hf.Value("int64"),
            "vector": hf.List(hf.Value("float32"), length=3),
            "species": hf.ClassLabel(names=["rose", "tulip"]),
            "text": hf.Value("string"),
            "price": hf.Value("float64"),
        }
    )
    rows = {
        "length": rng.normal(size=40).tolist(),
        "width": list(range(40)),
        "vector": rng.normal(size=(40, 3)).tolist(),
        "species": [i % 2 for i in range(40)],
        "text": ["b" if i % 4 else "a" for i in range(40)],
        "price": rng.normal(size=40).tolist(),
    }
    return hf.Dataset.from_dict(rows, features=features)


def test_class_labels_keep_their_names_and_the_set_is_split(flowers: Any) -> None:
    splits = from_huggingface(flowers, input=["length", "width"], target="species")

    assert (splits.task, splits.class_names, splits.input_shape) == ("classification", ("rose", "tulip"), (2,))
    assert [len(part) for named in (splits.train, splits.val, splits.test) for part in named.values()] == [28, 4, 8]


def test_text_classes_and_vectors(flowers: Any) -> None:
    splits = from_huggingface(flowers, input="vector", target="text", val_fraction=0, test_fraction=0)
    sample = splits.train["train"].__getitems__([0, 1])

    assert (splits.class_names, splits.input_shape) == (("a", "b"), (3,))
    assert sample["target"].tolist() == [0, 1]
    torch.testing.assert_close(sample["input"], torch.tensor(flowers["vector"][:2]))


def test_floats_are_a_regression(flowers: Any) -> None:
    splits = from_huggingface(flowers, input="vector", target="price")

    assert (splits.task, splits.num_outputs, splits.class_names) == ("regression", 1, ())


def test_stored_splits_are_used_as_they_are(flowers: Any) -> None:
    stored = hf.DatasetDict({"train": flowers.select(range(30)), "validation": flowers.select(range(30, 40))})

    splits = from_huggingface(stored, input="vector", target="species", test_fraction=0.2)

    assert [len(part) for named in (splits.train, splits.val, splits.test) for part in named.values()] == [24, 10, 6]


def test_images_become_bytes_scaled_when_batched() -> None:
    from PIL import Image

    pictures = [Image.fromarray(np.full((6, 5, 3), value, np.uint8)) for value in (0, 100, 200, 250)]
    data = hf.Dataset.from_dict({"image": pictures, "label": [0, 1, 0, 1]}).cast_column("image", hf.Image())

    splits = from_huggingface(data, input="image", target="label", val_fraction=0, test_fraction=0)
    train: Any = splits.train["train"]

    assert (splits.is_image, splits.input_shape, train.inputs.dtype) == (True, (3, 6, 5), torch.uint8)
    assert abs(float(train.__getitems__(range(4))["input"].mean())) < 1e-5


def test_stored_directory_is_read(flowers: Any, tmp_path: Path) -> None:
    flowers.save_to_disk(str(tmp_path / "flowers"))

    splits = HuggingFaceDataArgs(path=tmp_path / "flowers", input=["vector"], target="species").build(tmp_path)

    assert (splits.name, splits.num_outputs) == ("flowers", 2)
    assert splits.fingerprint == from_huggingface(flowers, input="vector", target="species").fingerprint


def test_a_share_of_a_set_that_is_stored_is_told_to_have_no_effect(flowers: Any, tmp_path: Path) -> None:
    hf.DatasetDict({"train": flowers, "validation": flowers}).save_to_disk(str(tmp_path / "flowers"))

    args = HuggingFaceDataArgs(path=tmp_path / "flowers", input=["vector"], target="species", val_fraction=0)

    assert args.build(tmp_path).warnings == (
        "val_fraction=0 has no effect: a validation set is stored, and used as it is.",
    )


def test_bad_input_is_one_clear_line(flowers: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no column 'colour'; it has length, width"):
        from_huggingface(flowers, input="colour", target="species")
    with pytest.raises(UserError, match="column 'text': 'a' is not an image, a finite number or a list"):
        from_huggingface(flowers, input="text", target="species")
    with pytest.raises(UserError, match="cannot tell what the split 'extra' is for"):
        from_huggingface(hf.DatasetDict({"train": flowers, "extra": flowers}), input="vector", target="species")
    with pytest.raises(UserError, match="is not a directory that save_to_disk wrote"):
        HuggingFaceDataArgs(path=tmp_path / "none", input=["vector"], target="species").build(tmp_path)


def test_sizes_that_differ_are_refused() -> None:
    data = hf.Dataset.from_dict({"vector": [[1.0, 2.0], [1.0]], "label": [0, 1]})

    with pytest.raises(UserError, match="column 'vector': sizes differ"):
        from_huggingface(data, input="vector", target="label")


def test_without_the_package_the_install_command_is_given(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "datasets", None)

    with pytest.raises(UserError, match=r'pip install "labwright\[huggingface\]"'):
        HuggingFaceDataArgs(path=tmp_path, input=["x"], target="y").build(tmp_path)
