"""Hugging Face datasets stored with `save_to_disk`. No torch."""

import contextlib
import re
from collections import Counter
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from labwright.args.wording import listed

from ..errors import ShardError
from ..names import check_field
from .base import Samples, Source, Unreadable, class_metadata, fields_of_columns, read_one_by_one
from .content import Check, Content, image_format

if TYPE_CHECKING:
    from datasets import Dataset

_LABEL_NAMES = ("cls", "label", "labels", "class", "target")
_NUM_MEASURED = 64
_HEADER = 512


@dataclass(frozen=True)
class _Field:
    """A column and how it becomes a field."""

    column: str
    codec: str
    kind: str
    """image, class, array, text or other."""
    content: Content
    dtype: str = ""


@dataclass(frozen=True)
class Rows:
    """A split of a Hugging Face dataset: implements `Samples`, one row in memory at a time."""

    dataset: "Dataset"
    fields: Mapping[str, _Field]
    where: str

    @property
    def keys(self) -> Sequence[str]:
        return self._keys

    @cached_property
    def _keys(self) -> Sequence[str]:
        return [f"{number:08d}" for number in range(len(self.dataset))]

    def sizes(self) -> np.ndarray:
        """The mean of some rows, for all."""
        if not len(self.dataset):
            return np.zeros(0, dtype=np.int64)
        measured = sorted({int(row) for row in np.linspace(0, len(self.dataset) - 1, _NUM_MEASURED)})
        totals = [
            sum(_padded(_length(value)) for value in row.values())
            for row in self.read(measured)
            if not isinstance(row, Unreadable)
        ]
        return np.full(len(self.dataset), int(np.mean(totals)) if totals else _HEADER, dtype=np.int64)

    def read(self, positions: Sequence[int]) -> Iterator[dict[str, Any] | Unreadable]:
        return read_one_by_one(self._read, positions)

    def _read(self, position: int) -> dict[str, Any]:
        row = self.dataset[position]
        return {
            name: _value(field, row[field.column], f"{self.where}, row {position}, column {field.column!r}")
            for name, field in self.fields.items()
        }

    def labels(self, name: str) -> Sequence[Hashable]:
        column = self.fields[name].column if name in self.fields else name
        if column not in self.dataset.column_names:
            raise ShardError(f"samples cannot be divided by {name!r}; the columns are {self.dataset.column_names}")
        values = self.dataset[column][:]
        if not all(isinstance(value, Hashable) for value in values[:1]):
            raise ShardError(f"samples cannot be divided by {name!r}: its values are neither numbers nor texts")
        return values


def huggingface_source(path: Path, fields: Mapping[str, str] | None = None, *, check: Check = "decode") -> Source:
    """What `save_to_disk` wrote: encoded images as they are, class labels as `cls`, numbers and vectors as `npy`.

    The first image column is called by its format, the first column of labels `cls`, any other column
    `<column>.<codec>`; `fields` names the columns of other fields. A sample's key is the number of its row.
    """
    stored = _load(path)
    features = next(iter(stored.values())).features
    first = next((dataset[0] for dataset in stored.values() if len(dataset)), None)
    if first is None:
        raise ShardError(f"{path} has no rows")
    kinds = {column: _kind(column, feature) for column, feature in features.items()}
    chosen = _named(kinds, first, path) if fields is None else fields_of_columns(fields, list(kinds), str(path))
    made: dict[str, _Field] = {}
    for name, column in chosen.items():
        check_field(name)
        codec = name.rpartition(".")[2]
        content = Content(codec, check, converts=fields is not None)
        made[name] = _Field(column, codec, kinds[column], content, _dtype(features[column]))
    class_names = {
        name: list(names) for name, field in made.items() if (names := getattr(features[field.column], "names", None))
    }
    splits: dict[str, Samples] = {}
    for name, dataset in stored.items():
        splits[name] = Rows(dataset, made, f"{path}, {name}")
    unused = [column for column in kinds if column not in chosen.values()]
    return Source(
        {name: field.codec for name, field in made.items()},
        splits,
        class_metadata(class_names),
        notes=(f"columns that are not packed: {listed(unused)}",) if unused else (),
    )


def _load(path: Path) -> "dict[str, Dataset]":
    """The splits, their images not decoded."""
    try:
        from datasets import Image, load_from_disk
    except ImportError as error:
        raise ShardError('this source needs Hugging Face datasets: pip install "labwright[huggingface]"') from error
    try:
        stored = load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ShardError(f"{path} is not a directory that save_to_disk wrote: {reason}") from error
    named = {str(name): each for name, each in stored.items()} if isinstance(stored, dict) else {"train": stored}
    for name, dataset in named.items():
        for column, feature in dataset.features.items():
            if isinstance(feature, Image):
                named[name] = named[name].cast_column(column, Image(decode=False))
    return named


def _kind(column: str, feature: Any) -> str:
    from datasets import ClassLabel, Image, Value

    if isinstance(feature, Image):
        return "image"
    dtype = getattr(feature, "dtype", "")
    if isinstance(feature, ClassLabel) or (column in _LABEL_NAMES and "int" in dtype):
        return "class"
    if isinstance(feature, Value) and dtype in ("string", "large_string"):
        return "text"
    return "array" if _dtype(feature) else "other"


def _dtype(feature: Any) -> str:
    """NumPy's name for the numbers of a column, also in lists; empty: they are none."""
    while hasattr(feature, "feature"):
        feature = feature.feature
    with contextlib.suppress(TypeError):
        dtype = np.dtype(getattr(feature, "dtype", None) or "O")
        return dtype.name if dtype.kind in "biuf" else ""
    return ""


def _named(kinds: Mapping[str, str], first: Mapping[str, Any], path: Path) -> dict[str, str]:
    """Columns by the names of their fields."""
    named: dict[str, str] = {}
    seen = Counter[str]()
    for column, kind in kinds.items():
        codec = {"class": "cls", "array": "npy", "text": "txt", "other": "json"}.get(kind)
        if codec is None:
            data = (first[column] or {}).get("bytes") or b""
            codec = image_format(data)
            if codec is None:
                raise ShardError(f"{path}: the first image in column {column!r} is of no known format")
        seen[kind] += 1
        is_plain = kind in ("image", "class") and seen[kind] == 1
        safe = re.sub(r"[^A-Za-z0-9_]", "_", column)
        named[codec if is_plain else f"{safe}.{codec}"] = column
    return dict(sorted(named.items(), key=lambda each: ("." in each[0], kinds[each[1]] != "image")))


def _value(field: _Field, value: Any, where: str) -> Any:
    if value is None:
        raise Unreadable(f"{where} is empty")
    if field.kind == "image":
        if not value.get("bytes"):
            raise Unreadable(f"{where} names a file instead of holding it")
        return field.content.member(value["bytes"], where)
    if field.kind == "class" and int(value) < 0:
        raise Unreadable(f"{where} is {value}: it has no label")
    if field.codec != "npy":
        return value
    try:
        return np.asarray(value, dtype=field.dtype or None)
    except (TypeError, ValueError) as error:
        raise Unreadable(f"{where}: no array can be made of it ({error})") from None


def _length(value: Any) -> int:
    return len(value) if isinstance(value, bytes | str) else getattr(value, "nbytes", 0) + 128


def _padded(num_bytes: int) -> int:
    return _HEADER + num_bytes + (-num_bytes) % _HEADER
