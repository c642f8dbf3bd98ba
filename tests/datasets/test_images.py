import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from labwright.args import UserError
from labwright.datasets import open_images
from labwright.datasets.args import DatasetArgs, DiabetesDataArgs, DigitsDataArgs, MnistDataArgs
from labwright.datasets.splits import Splits
from labwright.datasets.tensor import TensorDataset, split_tensors


@pytest.fixture
def digits(tmp_path: Path) -> Splits:
    return DigitsDataArgs().build(tmp_path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "pictures"
    path.mkdir()
    return path


def grey(*shape: int) -> Image.Image:
    """A ramp from black to white, left to right."""
    return Image.fromarray(np.broadcast_to(np.linspace(0, 255, shape[1]), shape).round().astype(np.uint8))


def test_training_images_saved_as_pictures_are_read_as_what_they_were(digits: Splits, folder: Path) -> None:
    test: Any = digits.test["test"]
    for number in range(10):
        pixels = (test.inputs[number, 0].numpy() * (255 / 16)).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"digit {9 - number}.png")

    inputs: Any = DigitsDataArgs().open_inputs(folder, digits)
    batch = inputs.__getitems__(list(range(10)))

    assert batch["name"] == [f"digit {number}.png" for number in range(10)]
    assert batch["index"].tolist() == list(range(10))
    assert "target" not in batch
    expected = test.__getitems__(list(range(9, -1, -1)))["input"]
    torch.testing.assert_close(batch["input"], expected, atol=0.01, rtol=0)


def test_pictures_of_any_kind_become_the_training_shape(tmp_path: Path, folder: Path) -> None:
    args = MnistDataArgs(source="digits")
    splits = args.build(tmp_path)
    grey(40, 60).save(folder / "1.png")
    grey(40, 60).convert("RGB").save(folder / "2.JPG", quality=95)
    grey(40, 60).convert("P").save(folder / "3.gif")
    grey(40, 60).save(folder / "4.bmp")
    grey(40, 60).convert("RGBA").save(folder / "5.webp", lossless=True)
    Image.fromarray(np.asarray(grey(40, 60)).astype(np.uint16) * 257).save(folder / "6.png")
    (folder / ".DS_Store").write_bytes(b"not ours")

    inputs: Any = args.open_inputs(folder, splits)

    assert inputs.inputs.shape == (6, 1, 28, 28)
    assert inputs.input_shape == splits.input_shape
    assert (inputs.inputs.int() - inputs.inputs[0].int()).abs().max() <= 3


def test_images_that_are_resized_are_counted_and_those_that_fit_are_not(digits: Splits, folder: Path) -> None:
    grey(8, 8).save(folder / "1.png")
    assert open_images(folder, digits).warnings == ()
    grey(5, 9).save(folder / "2.png")
    [line] = open_images(folder, digits).warnings
    assert line == "1 of 2 images is resized to 8 x 8, which the model was trained on (2.png is 9 x 5)"
    grey(9, 9).save(folder / "0.png")
    [line] = open_images(folder, digits, crop=True).warnings
    assert line.startswith("2 of 3 images are resized and cropped to 8 x 8") and "(0.png is 9 x 9)" in line


def test_transparent_is_black_and_a_turned_photo_stands_up(digits: Splits, folder: Path) -> None:
    layer = Image.new("RGBA", (8, 8), (255, 255, 255, 0))
    layer.paste((255, 255, 255, 255), (0, 0, 4, 8))
    layer.save(folder / "layer.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned to the right
    grey(8, 8).save(folder / "photo.png", exif=exif)

    layer_input, photo = DigitsDataArgs().open_inputs(folder, digits).inputs[:, 0]

    assert layer_input[0].tolist() == [255] * 4 + [0] * 4
    assert photo[:, 0].tolist() == sorted(photo[:, 0].tolist()) != photo[0].tolist()


def test_coloured_training_images_want_coloured_pictures(folder: Path) -> None:
    data = TensorDataset(torch.zeros(20, 3, 4, 4, dtype=torch.uint8), torch.arange(20) % 2, source="red", std=255.0)
    splits = split_tensors(data, name="red", val_fraction=0, test_fraction=0, seed=0, is_image=True)
    Image.new("RGB", (9, 5), (255, 0, 0)).save(folder / "red.png")

    inputs: Any = MnistDataArgs().open_inputs(folder / "red.png", splits)

    assert inputs[0]["input"][:, 0, 0].tolist() == [1, 0, 0]


BAD: dict[str, tuple[str, bytes | None, str]] = {
    "text": ("a.png", b"hello", "a.png: it is damaged, or no image"),
    "empty": ("a.jpg", b"", "a.jpg: it is damaged, or no image"),
    "odd ending": ("notes.txt", b"hello", "notes.txt is not an image by its name; known endings: .bmp, .gif"),
    "nothing": (".hidden", b"", "pictures has no images in it"),
    "a folder": ("sub", None, "sub is a folder; images have to lie in"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD.keys())
def test_bad_folder_is_one_clear_line(
    digits: Splits, folder: Path, name: str, content: bytes | None, message: str
) -> None:
    (folder / name).mkdir() if content is None else (folder / name).write_bytes(content)

    with pytest.raises(UserError, match=re.escape(message)) as caught:
        DigitsDataArgs().open_inputs(folder, digits)

    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("suffix", ["png", "jpg", "gif", "bmp", "webp"])
def test_truncated_picture_is_named(digits: Splits, folder: Path, suffix: str) -> None:
    path = folder / f"half.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(256, size=(64, 64), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    with pytest.raises(UserError, match=rf"cannot read .*half\.{suffix}: it is damaged"):
        DigitsDataArgs().open_inputs(folder, digits)


def test_picture_of_too_many_pixels_is_refused_by_its_header(
    digits: Splits, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    grey(40, 40).save(folder / "a.png")

    with pytest.raises(UserError, match="a.png has more than 1,000 pixels"):
        DigitsDataArgs().open_inputs(folder, digits)


def test_missing_folder_is_named(digits: Splits, folder: Path) -> None:
    with pytest.raises(UserError, match="no.png does not exist"):
        DigitsDataArgs().open_inputs(folder / "no.png", digits)


def test_table_cannot_read_pictures(folder: Path, tmp_path: Path) -> None:
    splits = DiabetesDataArgs().build(tmp_path)
    args: DatasetArgs = MnistDataArgs()

    with pytest.raises(UserError, match=r"scikit-learn diabetes has inputs of shape \[10\], which no picture"):
        args.open_inputs(folder, splits)
