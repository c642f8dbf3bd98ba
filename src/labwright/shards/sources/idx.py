"""IDX files, the format of MNIST: images and labels beside each other. No torch."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from labwright.args.reading import reading
from labwright.args.wording import listed

from ..errors import ShardError
from ..names import check_field
from .base import Samples, Source, fields_of_columns, sorted_classes
from .columns import ArrayColumn, Column, Table, ValueColumn

COLUMNS = ("image", "class")
_FILE = re.compile(r"(?P<name>\w+)-(?P<what>images|labels)[-.]idx[0-9](-ubyte)?(\.gz)?")
_SPLITS = {"t10k": "test"}


def idx_source(path: Path, fields: Mapping[str, str] | None = None, *, read: Callable[[Path], np.ndarray]) -> Source:
    """The pairs `<split>-images-idx3-ubyte` and `<split>-labels-idx1-ubyte` in a folder, each also with `.gz`.

    `t10k` is called `test`. `read` gives the array of a file (`read_idx`). Images of bytes are written as `png`, other
    arrays as `npy`, labels as `cls`; `fields` names the columns "image" and "class" of other fields.
    """
    pairs = _pairs(path)
    arrays: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for name, (images, labels) in pairs.items():
        pixels, classes = read(images), read(labels)
        if classes.ndim != 1 or classes.dtype.kind not in "iu" or len(classes) != len(pixels):
            raise ShardError(
                f"{images} and {labels} do not belong together: {list(pixels.shape)} and {list(classes.shape)}"
            )
        arrays[_SPLITS.get(name, name)] = pixels, classes
    is_image = all(pixels.ndim == 3 and pixels.dtype == np.uint8 for pixels, _ in arrays.values())
    guessed = {"png" if is_image else "npy": "image", "cls": "class"}
    chosen = guessed if fields is None else fields_of_columns(fields, COLUMNS, "a folder of IDX files")
    for name in chosen:
        check_field(name)
    numbers = sorted_classes({str(label) for _, classes in arrays.values() for label in np.unique(classes)})
    splits: dict[str, Samples] = {}
    for split, (pixels, classes) in arrays.items():
        labels = [int(label) for label in classes]
        columns: dict[str, Column] = {
            name: ArrayColumn(pixels) if column == "image" else ValueColumn(labels) for name, column in chosen.items()
        }
        splits[split] = Table([f"{number:08d}" for number in range(len(labels))], columns, {"class": labels})
    is_counted = numbers == [str(number) for number in range(len(numbers))]
    metadata = {"class_names": numbers} if is_counted and "class" in chosen.values() else {}
    return Source({name: name.rpartition(".")[2] for name in chosen}, splits, metadata)


def is_idx_folder(path: Path) -> bool:
    """Whether there is any file that is called like one of MNIST's."""
    return any(_FILE.fullmatch(each.name) for each in path.iterdir())


def _pairs(path: Path) -> dict[str, tuple[Path, Path]]:
    found: dict[str, dict[str, Path]] = {}
    with reading(path, ShardError):
        files = sorted(path.iterdir())
    for each in files:
        match = _FILE.fullmatch(each.name)
        if match is None:
            continue
        pair = found.setdefault(match["name"], {})
        if match["what"] in pair:
            raise ShardError(f"{path} has both {pair[match['what']].name} and {each.name}; keep one of them")
        pair[match["what"]] = each
    if not found:
        raise ShardError(
            f"{path} has no IDX files such as train-images-idx3-ubyte; it has {listed(f.name for f in files[:5])}"
        )
    for name, pair in found.items():
        if len(pair) < 2:
            [only] = pair.values()
            raise ShardError(
                f"{path} has {only.name}, but not the {'labels' if 'images' in pair else 'images'} of {name}"
            )
    order = sorted(found, key=lambda name: (name != "train", name))
    return {name: (found[name]["images"], found[name]["labels"]) for name in order}
