"""CSV manifests."""

from pathlib import Path
from typing import Any

import pytest

from labwright.shards import ShardError
from labwright.shards.sources.base import Source, Unreadable
from labwright.shards.sources.csv_manifest import csv_source

from .conftest import SavePicture


def read(source: Source, split: str = "train") -> dict[str, dict[str, Any] | Unreadable]:
    samples = source.splits[split]
    return dict(zip(samples.keys, samples.read(range(len(samples.keys))), strict=True))


def manifest(folder: Path, *lines: str) -> Path:
    path = folder / "all.csv"
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def reason(error: Exception, folder: Path) -> str:
    return str(error).replace(f"{folder}/all.csv, ", "")


def test_columns_that_are_named_as_fields_are_packed(tmp_path: Path, save_picture: SavePicture) -> None:
    image, mask = save_picture(tmp_path / "a/1.png", 1), save_picture(tmp_path / "a/1_mask.png", 2)
    path = manifest(tmp_path, "png,mask.png,cls,txt,json,age", 'a/1.png,a/1_mask.png,cat,hello,"[1, 2]",7')
    source = csv_source(path)
    assert source.fields == {"png": "png", "mask.png": "png", "cls": "cls", "txt": "txt", "json": "json"}
    assert source.metadata == {"class_names": ["cat"]}
    assert source.notes == ("columns that are not packed: age",)
    sample = {"png": image, "mask.png": mask, "cls": 0, "txt": "hello", "json": b"[1, 2]"}
    assert read(source) == {"a/1": sample}
    assert source.splits["train"].labels("age") == ["7"]


def test_columns_of_other_names_are_packed_as_they_are_asked_for(tmp_path: Path, save_picture: SavePicture) -> None:
    image = save_picture(tmp_path / "x.y.png")
    path = manifest(tmp_path, "image,label", "x.y.png,3")
    with pytest.raises(ShardError, match=r"no field is called like image; .*--fields=png=image,cls=label"):
        csv_source(path)
    assert read(csv_source(path, {"png": "image", "cls": "label"})) == {"x_y": {"png": image, "cls": 3}}


def test_key_and_split_have_columns_of_their_own(tmp_path: Path) -> None:
    source = csv_source(manifest(tmp_path, "key,split,txt", "b/1,test,x", "a,train,y", "a,test,z"))
    assert list(source.fields) == ["txt"]
    assert {split: list(read(source, split)) for split in source.splits} == {"test": ["b/1", "a"], "train": ["a"]}


def test_samples_without_files_and_keys_are_counted(tmp_path: Path) -> None:
    assert list(read(csv_source(manifest(tmp_path, "txt", "x", "y")))) == ["00000000", "00000001"]


def test_two_columns_of_class_names_have_a_list_each(tmp_path: Path) -> None:
    source = csv_source(manifest(tmp_path, "cls,colour.cls", "cat,red", "dog,blue"))
    assert source.metadata == {"class_names": {"cls": ["cat", "dog"], "colour.cls": ["blue", "red"]}}
    assert read(source)["00000000"] == {"cls": 0, "colour.cls": 1}


def test_classes_of_the_dataset_are_kept_where_rows_are_added(tmp_path: Path) -> None:
    path = manifest(tmp_path, "cls", "dog")
    assert read(csv_source(path, class_names={"cls": ["cat", "dog"]})) == {"00000000": {"cls": 1}}
    with pytest.raises(ShardError, match="column 'cls': dog is no class of the dataset; known: cat, cow"):
        csv_source(path, class_names={"cls": ["cat", "cow"]})


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("../out.png,1,{}", "line 3, column 'png': \"../out.png\" is not in the folder of the file"),
        ("/etc/passwd,1,{}", "line 3, column 'png': \"/etc/passwd\" is not in the folder of the file"),
        ("link.png,1,{}", "line 3, column 'png': \"link.png\" is not in the folder of the file"),
        (",1,{}", "line 3, column 'png' is empty"),
        ("a.png,1,{}", "line 3 has the key 'a', as line 2 has; give each a key of its own in a column named key"),
        ("b.png,1,{", "line 3: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
    ],
)
def test_a_row_that_cannot_be_packed_is_told(tmp_path: Path, save_picture: SavePicture, row: str, said: str) -> None:
    inside = tmp_path / "inside"
    for name in ("inside/a.png", "inside/b.png", "out.png"):
        save_picture(tmp_path / name)
    (inside / "link.png").symlink_to(tmp_path / "out.png")
    source = csv_source(manifest(inside, "png,cls,json", "a.png,0,{}", row))
    assert [reason(error, inside) for error in source.unreadable] == [said]
    assert list(read(source)) == ["a"]


def test_a_file_that_is_not_there_is_told_when_it_is_read(tmp_path: Path) -> None:
    [(key, found)] = read(csv_source(manifest(tmp_path, "png", "gone.png"))).items()
    assert key == "gone"
    assert str(found) == f"cannot read {tmp_path}/gone.png: No such file or directory"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no rows below a header line"),
        ("png\n", "has no rows below a header line"),
        ("a,a\n1,2\n", "has several columns named 'a'"),
        ("txt,cls\n1\n", "line 2: 1 cells, but the header has 2"),
        ('txt\n"x\n', "is not CSV: unexpected end of data after line 1"),
        ("a,b\n1,2\n", "no field is called like a, b; say which column is which field: --fields=cls=a"),
        ("pkl\nx.pkl\n", "no field is called like pkl; say which column is which field: --fields=cls=pkl"),
        ("key,txt\na.b,x\n", "no row of .* can be packed; .* line 2: the key 'a.b' has a dot"),
        ("txt,split\nx,a b\n", "no row of .* can be packed; .* line 2: a split cannot be called 'a b'"),
    ],
)
def test_a_file_that_is_no_manifest_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "all.csv").write_text(text)
    with pytest.raises(ShardError, match=said):
        csv_source(tmp_path / "all.csv")


def test_pickle_is_not_packed(tmp_path: Path) -> None:
    with pytest.raises(ShardError, match="'pkl' is pickle, which runs programs"):
        csv_source(manifest(tmp_path, "x", "a.pkl"), {"pkl": "x"})
