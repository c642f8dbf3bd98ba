"""Folders of classes."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright.shards import ShardError
from labwright.shards.codecs import codec
from labwright.shards.sources.base import Source, Unreadable
from labwright.shards.sources.folder import folder_source

from .conftest import SavePicture


def read(source: Source, split: str = "train") -> dict[str, dict[str, Any] | Unreadable]:
    samples = source.splits[split]
    return dict(zip(samples.keys, samples.read(range(len(samples.keys))), strict=True))


def test_images_go_in_as_they_are_with_the_number_of_their_folder(tmp_path: Path, save_picture: SavePicture) -> None:
    cat = save_picture(tmp_path / "pets/cat/a.png", 1)
    dog = save_picture(tmp_path / "pets/dog/b.png", 2)
    source = folder_source(tmp_path / "pets")
    assert source.fields == {"png": "png", "cls": "cls"}
    assert source.metadata == {"class_names": ["cat", "dog"]}
    assert read(source) == {"cat/a": {"png": cat, "cls": 0}, "dog/b": {"png": dog, "cls": 1}}


def test_folders_of_splits_share_their_classes(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "train/dog/1.png")
    save_picture(tmp_path / "test/cat/1.png")
    source = folder_source(tmp_path)
    assert source.metadata == {"class_names": ["cat", "dog"]}
    assert {split: list(read(source, split)) for split in source.splits} == {"test": ["cat/1"], "train": ["dog/1"]}


def test_a_class_may_be_called_train(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "bus/1.png")
    save_picture(tmp_path / "train/1.png")
    assert folder_source(tmp_path).metadata == {"class_names": ["bus", "train"]}


def test_a_folder_beside_those_of_splits_is_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    for name in ("train/cat", "test/cat", "more/cat"):
        save_picture(tmp_path / name / "1.png")
    with pytest.raises(ShardError, match=r"folders of splits \(test, train\) and others \(more\) beside them"):
        folder_source(tmp_path)


def test_classes_that_are_numbers_count_as_numbers_do(tmp_path: Path, save_picture: SavePicture) -> None:
    for name in ("10", "2", "1"):
        save_picture(tmp_path / name / "x.png")
    assert folder_source(tmp_path).metadata == {"class_names": ["1", "2", "10"]}


def test_a_dot_in_a_name_becomes_an_underscore_and_two_files_with_one_key_are_told(
    tmp_path: Path, save_picture: SavePicture
) -> None:
    save_picture(tmp_path / "cat/a.v2.png")
    save_picture(tmp_path / "cat/a_v2.png")
    source = folder_source(tmp_path)
    assert list(read(source)) == ["cat/a_v2"]
    [error] = source.unreadable
    assert str(error) == f"{tmp_path}/cat/a_v2.png would have the key 'cat/a_v2', as {tmp_path}/cat/a.v2.png has"


def test_what_is_no_image_is_told_by_name(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "cat/a.png")
    for name in (".DS_Store", "notes.txt", "cat/.hidden.png", "cat/notes.txt"):
        (tmp_path / name).write_text("hello")
    (tmp_path / "empty").mkdir()
    assert sorted(str(error).removeprefix(f"{tmp_path}/") for error in folder_source(tmp_path).unreadable) == [
        ".DS_Store is hidden",
        "cat/.hidden.png is hidden",
        "cat/notes.txt is no image that is known by its ending",
        "empty is empty: it is a class without images",
        "notes.txt lies in no class folder",
    ]


def test_what_cannot_be_decoded_is_told_by_name(tmp_path: Path, save_picture: SavePicture) -> None:
    whole = save_picture(tmp_path / "cat/a.png")
    (tmp_path / "cat/cut.png").write_bytes(whole[:50])
    (tmp_path / "cat/empty.png").touch()
    (tmp_path / "cat/folder.jpg").mkdir()
    os.mkfifo(tmp_path / "cat/pipe.png")
    found = read(folder_source(tmp_path))
    assert found.pop("cat/a") == {"png": whole, "cls": 0}
    assert [str(error).partition(f"{tmp_path}/")[2] for error in found.values()] == [
        "cat/cut.png: damaged PNG image: image file is truncated",
        "cat/empty.png: no bytes, where an image belongs",
        "cat/pipe.png is no regular file",
    ]


def test_only_the_beginning_is_looked_at_if_so_asked(tmp_path: Path, save_picture: SavePicture) -> None:
    cut = save_picture(tmp_path / "cat/cut.png")[:60]
    (tmp_path / "cat/cut.png").write_bytes(cut)
    assert read(folder_source(tmp_path, check="header")) == {"cat/cut": {"png": cut, "cls": 0}}


def test_links_are_followed_but_not_in_circles(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "elsewhere/a.png")
    (tmp_path / "root/cat").mkdir(parents=True)
    (tmp_path / "root/cat/far").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root/cat/circle").symlink_to(tmp_path / "root/cat")
    source = folder_source(tmp_path / "root")
    assert list(read(source)) == ["cat/far/a"]
    [error] = source.unreadable
    assert str(error) == f"{tmp_path}/root/cat/circle is a link to a folder that it lies in"


def test_images_of_two_formats_need_one_to_be_named(tmp_path: Path, save_picture: SavePicture) -> None:
    png, bmp = save_picture(tmp_path / "cat/a.png", 3), save_picture(tmp_path / "cat/b.bmp", 4)
    with pytest.raises(ShardError, match=r"1 bmp and 1 png images.*--fields=png=image,cls=class"):
        folder_source(tmp_path)
    source = folder_source(tmp_path, {"png": "image", "name.txt": "class"})
    found = read(source)
    assert found["cat/a"] == {"png": png, "name.txt": "cat"}
    converted = found["cat/b"]
    assert isinstance(converted, dict)
    np.testing.assert_array_equal(codec("png").decode(converted["png"]), codec("bmp").decode(bmp))


def test_a_column_that_a_folder_does_not_have_is_refused(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "cat/a.png")
    with pytest.raises(ShardError, match=r'the field \'png\' needs the column "picture".*it has image, class'):
        folder_source(tmp_path, {"png": "picture"})


def test_a_new_class_is_refused_where_images_are_added(tmp_path: Path, save_picture: SavePicture) -> None:
    save_picture(tmp_path / "cow/a.png")
    assert read(folder_source(tmp_path, class_names=["cat", "cow"]))["cow/a"]["cls"] == 1
    with pytest.raises(ShardError, match="cow in .* is no class of the dataset; known: cat, dog"):
        folder_source(tmp_path, class_names=["cat", "dog"])


@pytest.mark.parametrize("make", ["nothing", "empty", "flat"])
def test_a_folder_without_classes_is_refused(tmp_path: Path, save_picture: SavePicture, make: str) -> None:
    if make != "nothing":
        (tmp_path / "x").mkdir()
    if make == "flat":
        save_picture(tmp_path / "x/a.png")
    with pytest.raises(ShardError, match="cannot read|has no folders of images, such as x/cat/1.png"):
        folder_source(tmp_path / "x")
