import dataclasses
import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright.args import UserError
from labwright.datasets.args import FashionMnistDataArgs, MnistDataArgs
from labwright.datasets.download import DownloadError
from labwright.datasets.mnist import build_fashion_mnist, build_mnist
from labwright.datasets.published import FASHION_MNIST, MNIST, PublishedSet
from labwright.datasets.tensor import TensorDataset

WriteMnist = Callable[..., Path]
Publish = Callable[[str], tuple[PublishedSet, Path]]
OFFLINE = ("http://127.0.0.1:1/",)
UNREACHABLE = dataclasses.replace(MNIST, mirrors=OFFLINE)


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


def train_of(splits: Any) -> TensorDataset:
    return splits.train["train"]


@pytest.mark.parametrize("suffix", [".gz", ""])
def test_files_in_the_cache_are_used_as_they_are_with_a_note(
    tmp_path: Path, write_mnist: WriteMnist, suffix: str
) -> None:
    write_mnist(tmp_path / "mnist", suffix=suffix)

    splits = MnistDataArgs(val_fraction=0.25).build(tmp_path)

    assert [len(part) for named in (splits.train, splits.val, splits.test) for part in named.values()] == [150, 50, 40]
    assert splits.name == "MNIST from local files (200 + 40 images)"
    assert "are not the published files" in splits.warnings[0]
    assert (splits.input_shape, splits.num_outputs, splits.task, splits.is_image) == (
        (1, 28, 28),
        10,
        "classification",
        True,
    )
    assert np.bincount(train_of(splits).targets.numpy()).tolist() == [15] * 10


def test_compression_does_not_change_the_fingerprint(tmp_path: Path, write_mnist: WriteMnist) -> None:
    write_mnist(tmp_path / "packed" / "mnist")
    write_mnist(tmp_path / "raw" / "mnist", suffix="")
    args = MnistDataArgs(source="cache")

    assert args.build(tmp_path / "packed").fingerprint == args.build(tmp_path / "raw").fingerprint


def test_split_follows_split_seed_alone(tmp_path: Path, write_mnist: WriteMnist) -> None:
    write_mnist(tmp_path / "mnist")

    first, again, other = (
        train_of(MnistDataArgs(split_seed=seed).build(tmp_path)).source_indices.tolist() for seed in (0, 0, 1)
    )

    assert first == again != other


def test_no_validation_set_when_its_fraction_is_zero(tmp_path: Path, write_mnist: WriteMnist) -> None:
    write_mnist(tmp_path / "mnist")

    splits = MnistDataArgs(val_fraction=0).build(tmp_path)

    assert splits.val == {}
    assert len(train_of(splits)) == 200


def test_offline_without_files_trains_on_digits_and_says_so(tmp_path: Path) -> None:
    splits = build_mnist(MnistDataArgs(), tmp_path, UNREACHABLE)

    assert splits.name == "scikit-learn digits, upscaled to 28x28"
    (warning,) = splits.warnings
    assert warning.startswith("THIS IS NOT MNIST but scikit-learn's 1,797 handwritten digits")
    assert "Connection refused" in warning and str(tmp_path / "mnist") in warning
    assert splits.input_shape == (1, 28, 28)
    batch = train_of(splits).__getitems__(range(1000))["input"]
    assert abs(float(batch.mean())) < 0.1 and abs(float(batch.std()) - 1) < 0.1


def test_download_that_fails_says_in_one_line_where_to_put_the_files(tmp_path: Path) -> None:
    with pytest.raises(DownloadError) as caught:
        build_mnist(MnistDataArgs(source="download"), tmp_path, UNREACHABLE)

    assert "t10k-labels-idx1-ubyte (with or without .gz) into " + str(tmp_path / "mnist") in str(caught.value)
    assert "\n" not in str(caught.value)


def test_empty_cache_says_where_to_put_the_files(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(f"there is no MNIST in {tmp_path / 'mnist'}: put train-images")):
        MnistDataArgs(source="cache").build(tmp_path)


def test_fashion_has_no_fallback_since_digits_are_no_clothes(tmp_path: Path) -> None:
    published = dataclasses.replace(FASHION_MNIST, mirrors=OFFLINE)

    with pytest.raises(UserError, match=re.escape(f"into {tmp_path / 'fashion_mnist'}")):
        build_fashion_mnist(FashionMnistDataArgs(), tmp_path, published)


def test_fashion_reads_its_own_directory(tmp_path: Path, write_mnist: WriteMnist) -> None:
    write_mnist(tmp_path / "fashion_mnist")

    splits = FashionMnistDataArgs().build(tmp_path)

    assert splits.name.startswith("Fashion-MNIST from local files")
    assert splits.class_names[9] == "Ankle boot"


def test_published_files_are_downloaded_once_and_named_plainly(tmp_path: Path, publish: Publish, mirror: Any) -> None:
    published, directory = publish(mirror.url)
    mirror.files |= {path.name: path.read_bytes() for path in directory.iterdir()}

    splits = build_mnist(MnistDataArgs(), tmp_path, published)
    again = build_mnist(MnistDataArgs(), tmp_path, published)

    assert (splits.name, splits.warnings) == ("MNIST", ())
    assert splits.fingerprint == again.fingerprint
    assert len(mirror.requests) == 4


def test_recompressed_published_files_are_still_the_published_ones(tmp_path: Path, publish: Publish) -> None:
    published, directory = publish(OFFLINE[0])
    (tmp_path / "mnist").mkdir()
    for path in directory.iterdir():
        content = gzip.decompress(path.read_bytes())
        (tmp_path / "mnist" / path.name).write_bytes(gzip.compress(content, compresslevel=1, mtime=1))

    assert build_mnist(MnistDataArgs(), tmp_path, published).warnings == ()


def test_interrupted_download_is_completed(tmp_path: Path, publish: Publish, mirror: Any) -> None:
    published, directory = publish(mirror.url)
    mirror.files |= {path.name: path.read_bytes() for path in directory.iterdir()}
    (tmp_path / "mnist").mkdir()
    name = "train-labels-idx1-ubyte.gz"
    (tmp_path / "mnist" / name).write_bytes((directory / name).read_bytes())

    splits = build_mnist(MnistDataArgs(), tmp_path, published)

    assert splits.name == "MNIST"
    assert len(mirror.requests) == 3


def test_some_of_ones_own_files_are_not_mixed_with_published_ones(tmp_path: Path, write_mnist: WriteMnist) -> None:
    directory = write_mnist(tmp_path / "mnist")
    for name in ("t10k-images-idx3-ubyte.gz", "t10k-labels-idx1-ubyte.gz"):
        (directory / name).unlink()

    with pytest.raises(UserError, match="has 2 of the four IDX files and lacks t10k-images-idx3-ubyte, t10k-labels"):
        MnistDataArgs().build(tmp_path)


def test_mirror_with_other_content_counts_as_no_download(tmp_path: Path, publish: Publish, mirror: Any) -> None:
    published, _ = publish(mirror.url)
    mirror.files |= {f"{file.name}.gz": b"something else" for file in published.files}

    (warning,) = build_mnist(MnistDataArgs(), tmp_path, published).warnings

    assert "what came is not the published file" in warning


def test_corrupt_file_in_the_cache_is_an_error_and_never_a_fallback(tmp_path: Path, write_mnist: WriteMnist) -> None:
    images = write_mnist(tmp_path / "mnist") / "train-images-idx3-ubyte.gz"
    images.write_bytes(images.read_bytes()[:-100])

    with pytest.raises(UserError, match="train-images-idx3-ubyte.gz is not an intact gzip file"):
        MnistDataArgs().build(tmp_path)


def test_labels_in_the_place_of_images_are_told_by_their_magic_number(tmp_path: Path, write_mnist: WriteMnist) -> None:
    directory = write_mnist(tmp_path / "mnist")
    labels = (directory / "train-labels-idx1-ubyte.gz").read_bytes()
    (directory / "train-images-idx3-ubyte.gz").write_bytes(labels)

    with pytest.raises(UserError, match=re.escape("magic number 2049, expected 2051 (images)")):
        MnistDataArgs().build(tmp_path)


def test_counts_of_images_and_labels_have_to_agree(tmp_path: Path, write_mnist: WriteMnist, write_idx: Any) -> None:
    directory = write_mnist(tmp_path / "mnist")
    write_idx(directory / "t10k-labels-idx1-ubyte.gz", np.zeros(39, np.uint8))

    with pytest.raises(UserError, match="has 40 images but .* has 39 labels"):
        MnistDataArgs().build(tmp_path)


def test_label_beyond_the_classes_is_named(tmp_path: Path, write_mnist: WriteMnist, write_idx: Any) -> None:
    directory = write_mnist(tmp_path / "mnist")
    labels = np.zeros(40, np.uint8)
    labels[7] = 12
    write_idx(directory / "t10k-labels-idx1-ubyte.gz", labels)

    with pytest.raises(UserError, match=re.escape("has the label 12 (at 7); MNIST has 10 classes")):
        MnistDataArgs().build(tmp_path)


def test_sizes_of_train_and_test_images_have_to_agree(tmp_path: Path, write_mnist: WriteMnist, write_idx: Any) -> None:
    directory = write_mnist(tmp_path / "mnist")
    write_idx(directory / "t10k-images-idx3-ubyte.gz", np.zeros((40, 8, 8), np.uint8))

    with pytest.raises(UserError, match=re.escape("has images of (28, 28), ")):
        MnistDataArgs().build(tmp_path)


def test_files_without_images_are_refused(tmp_path: Path, write_mnist: WriteMnist) -> None:
    write_mnist(tmp_path / "mnist", num_test=0)

    with pytest.raises(UserError, match="t10k-images-idx3-ubyte.gz holds no images: its sizes are 0 x 28 x 28"):
        MnistDataArgs().build(tmp_path)


def test_mirrors_are_https_and_checksums_whole() -> None:
    for published in (MNIST, FASHION_MNIST):
        assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in published.mirrors)
        assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in published.files)


def test_published_files_of_an_interrupted_download_are_no_obstacle_offline(tmp_path: Path, publish: Publish) -> None:
    published, directory = publish(OFFLINE[0])
    (tmp_path / "mnist").mkdir()
    name = "train-labels-idx1-ubyte.gz"
    (tmp_path / "mnist" / name).write_bytes((directory / name).read_bytes())

    (warning,) = build_mnist(MnistDataArgs(), tmp_path, published).warnings

    assert "has 1 of the four IDX files and lacks train-images-idx3-ubyte, t10k-images" in warning
