"""`data preview`: the contact sheet, looked at by its pixels."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labwright.commands.data.choice import Choice
from labwright.commands.data.contact_sheet import draw_contact_sheet
from labwright.commands.data.tiles import tile_of
from labwright.runs.plots.looks import class_look
from labwright.shards import open_dataset

from ...conftest import Ended

CommandLine = Callable[..., Ended]


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        assert image.format == "PNG"
        return np.asarray(image.convert("RGB"))


def count(picture: np.ndarray, color: tuple[int, ...]) -> int:
    """How many pixels have exactly this colour."""
    return int((picture == np.array(color, np.uint8)).all(axis=-1).sum())


def rgb(color: str) -> tuple[int, ...]:
    return tuple(int(color[place : place + 2], 16) for place in (1, 3, 5))


@pytest.mark.slow
def test_a_small_image_is_enlarged_by_whole_pixels_and_not_smoothed(tmp_path: Path) -> None:
    image = np.random.default_rng(0).integers(0, 200, (8, 8, 3), np.uint8)
    image[2, 5] = (1, 250, 3)
    draw_contact_sheet([tile_of(image)] * 6, tmp_path / "sheet.png", "digits", num_columns=6)
    rows, columns = np.nonzero((pixels(tmp_path / "sheet.png") == image[2, 5]).all(axis=-1))
    side = rows.max() - rows.min() + 1
    assert side > 20 and len(rows) == 6 * side**2
    assert len(set(columns.tolist())) == 6 * side


@pytest.mark.slow
def test_the_sheet_says_what_is_on_it(command_line: CommandLine, pets: Path, tmp_path: Path) -> None:
    ended = command_line("data", "preview", str(pets), "--json", "--seed=3", "--num_samples=3")
    said = json.loads(ended.out)
    assert (ended.code, said["output"], said["split"], said["seed"]) == (0, "preview.png", "train", 3)
    assert (said["field"], said["mask"], said["label"]) == ("png", "seg8", "cls")
    keys = [sample["key"] for sample in said["samples"]]
    assert len(keys) == 3 and keys == sorted(keys) and all(sample["problem"] is None for sample in said["samples"])
    assert {sample["label"] for sample in said["samples"]} <= {"cat", "dog"}
    again = command_line("data", "preview", str(pets), "--json", "--seed=3", "--num_samples=3")
    assert again.out == ended.out
    assert pixels(tmp_path / "preview.png").shape[0] > 200


@pytest.mark.slow
def test_masks_lie_over_the_images_in_the_colours_of_their_classes(
    command_line: CommandLine, pets: Path, tmp_path: Path
) -> None:
    colors = [rgb(class_look(label).color) for label in (1, 2)]
    assert command_line("data", "preview", str(pets), "--output=with.png").out == "picture: with.png\n"
    assert command_line("data", "preview", str(pets), "--output=without.png", "--mask=none").code == 0
    assert all(count(pixels(tmp_path / "with.png"), color) > 1000 for color in colors)
    assert not any(count(pixels(tmp_path / "without.png"), color) for color in colors)
    assert command_line("data", "preview", str(pets), "--output=alone.png", "--field=seg8").code == 0
    assert all(count(pixels(tmp_path / "alone.png"), color) > 1000 for color in colors)


@pytest.mark.slow
@pytest.mark.parametrize("field", ["left.npy", "json", "cls"])
def test_arrays_and_text_have_sheets_too(command_line: CommandLine, pets: Path, tmp_path: Path, field: str) -> None:
    ended = command_line("data", "preview", str(pets), f"--field={field}", "--output=sheet.png", "--columns=2")
    assert ended.code == 0
    picture = pixels(tmp_path / "sheet.png")
    assert (count(picture, (68, 1, 84)) > 100) == (field == "left.npy")  # the darkest of the heat maps' colours


@pytest.mark.slow
def test_a_damaged_sample_has_a_tile_that_says_so_and_the_others_theirs(
    command_line: CommandLine, pets: Path, damage: Callable[[str], None]
) -> None:
    damage("train/001.png")
    ended = command_line("data", "preview", str(pets), "--json")
    said = json.loads(ended.out)
    problem = "'train/001.png' in pets/train-000000.tar: its checksum is not that of the index: it is damaged"
    assert (ended.code, ended.err) == (1, f"{problem}\n")
    assert [sample["problem"] for sample in said["samples"]] == [None, problem, None, None, None]


def test_a_tile_says_what_is_wrong_and_no_more_for_its_key_stands_below(
    pets: Path, damage: Callable[[str], None]
) -> None:
    damage("train/001.png")
    dataset = open_dataset(pets)
    tile = Choice(dataset, dataset.split("train"), field=None, mask=None, label=None).tile(1, 100)
    assert (tile.text, tile.note) == ("its checksum is not that of the index: it is damaged", "train/001")
    assert tile.problem == f"'train/001.png' in pets/train-000000.tar: {tile.text}"


@pytest.mark.slow
def test_a_field_that_is_no_mask_is_not_drawn_as_one(command_line: CommandLine, pets: Path) -> None:
    ended = command_line("data", "preview", str(pets), "--mask=json", "--num_samples=1")
    assert ended.code == 1
    assert "a mask is an array [H, W] of class numbers, not dict" in ended.err


@pytest.mark.parametrize(
    ("flag", "error"),
    [
        ("--field=pgn", '--field: "pgn" is not one of png, cls, seg8, json, left.npy; did you mean png?'),
        ("--mask=jpg", '--mask: "jpg" is not one of png, cls, seg8, json, left.npy'),
        ("--mask=png", "--mask=png: that is what is shown; name a field with the classes of its pixels"),
        ("--num_samples=0", "--num_samples: 0 is not from 1 to 400"),
        ("--columns=0", "--columns: 0 is not from 1 to 400"),
        ("--output=sheet.gif", "--output=sheet.gif: must be a .png file in a folder that is there"),
        ("--output=no/sheet.png", "--output=no/sheet.png: must be a .png file in a folder that is there"),
    ],
)
def test_what_cannot_be_drawn_is_refused(command_line: CommandLine, pets: Path, flag: str, error: str) -> None:
    assert command_line("data", "preview", str(pets), flag).error.startswith(error)


def test_a_split_without_samples_has_no_sheet(command_line: CommandLine, tmp_path: Path) -> None:
    from labwright.shards.writer import ShardWriter

    with ShardWriter(tmp_path / "none", ["txt"], splits=["train"], progress=False):
        pass
    assert command_line("data", "preview", "none").error == "data preview: none: the split train has no samples"
