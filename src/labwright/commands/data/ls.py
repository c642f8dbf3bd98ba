"""List the samples of a dataset by their keys, in their order; read from the index, no shard is opened."""

import fnmatch
import re
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from labwright.args.errors import UserError
from labwright.args.wording import one_line
from labwright.runs.durable import strict_json

from ..base import Project
from .base import PATH_HELP, chosen_splits, opened
from .fields import shard_name

if TYPE_CHECKING:
    from labwright.shards import OpenedSplit


T = TypeVar("T")
_CHUNK = 2000
"""Samples that are looked up in the index together."""


class _Sample(NamedTuple):
    split: str
    key: str
    shard: str
    sizes: dict[str, int]
    """Bytes of each field that the sample has."""


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help=PATH_HELP)
    parser.add_argument("--split", metavar="NAME", help="only this split (default: all)")
    parser.add_argument("--pattern", metavar="GLOB", help="only keys that fit, such as 'cat/*'")
    parser.add_argument("--limit", type=int, default=0, metavar="N", help="the first N (default: 0, all)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--long", action="store_true", help="with the bytes of each field, split and shard")
    form.add_argument("--json", action="store_true", help="a JSON document a line for each sample")


def run(given: Namespace, project: Project) -> None:
    """Print a line for each sample."""
    if given.limit < 0:
        raise UserError(f"--limit: {given.limit} is negative; 0 shows all")
    dataset = opened(given.path)
    splits = [dataset.split(name) for name in chosen_splits(dataset, given.split)]
    if given.long or given.json:
        samples = _limited(_samples(splits, given.pattern), given.limit)
        lines = _long(samples, splits) if given.long else map(_json, samples)
    else:
        lines = _limited(_keys(splits, given.pattern), given.limit)
    if not _print(lines):
        fitting = f" whose key fits {given.pattern!r}" if given.pattern else ""
        print(f"no samples{fitting} in {given.path}", file=sys.stderr)


def _limited(found: Iterator[T], limit: int) -> Iterator[T]:
    return islice(found, limit) if limit else found


def _print(lines: Iterator[str]) -> int:
    """Print the lines, some at a time; how many there were."""
    count, is_terminal = 0, sys.stdout.isatty()
    while chunk := list(islice(lines, _CHUNK)):
        if is_terminal:  # names in tar files of others may hold anything
            chunk = [line if line.isprintable() else one_line(line, len(line)) for line in chunk]
        print("\n".join(chunk))
        count += len(chunk)
    return count


def _chunks(splits: "list[OpenedSplit]", pattern: str | None) -> "Iterator[tuple[OpenedSplit, int, list[str | None]]]":
    """Some samples of a split at a time: the position of the first, and their keys, None where one does not fit."""
    import numpy as np

    fits = re.compile(fnmatch.translate(pattern)).match if pattern else None
    for split in splits:
        for start in range(0, len(split.index), _CHUNK):
            keys = split.index.keys[np.arange(start, min(start + _CHUNK, len(split.index)))]
            yield split, start, [key if fits is None or fits(key) else None for key in keys]


def _keys(splits: "list[OpenedSplit]", pattern: str | None) -> Iterator[str]:
    return (key for _, _, keys in _chunks(splits, pattern) for key in keys if key is not None)


def _samples(splits: "list[OpenedSplit]", pattern: str | None) -> Iterator[_Sample]:
    for split, start, keys in _chunks(splits, pattern):
        records = split.index.records[start : start + len(keys)]
        shards, fields = records["shard"].tolist(), split.index.fields
        places = [
            (records["fields"][field]["offset"].tolist(), records["fields"][field]["size"].tolist()) for field in fields
        ]
        for row, key in enumerate(keys):
            if key is not None:
                has = zip(fields, places, strict=True)
                sizes = {field: all_sizes[row] for field, (offsets, all_sizes) in has if offsets[row]}
                yield _Sample(split.name, key, shard_name(split, shards[row]), sizes)


def _json(sample: _Sample) -> str:
    document = {"split": sample.split, "key": sample.key, "shard": sample.shard, "fields": sample.sizes}
    return strict_json(document).decode()


def _long(samples: Iterator[_Sample], splits: "list[OpenedSplit]") -> Iterator[str]:
    """The lines of a table, how wide its columns are known before the first sample."""
    fields = {field: max(len(field), _num_digits(splits, field)) for split in splits for field in split.index.fields}
    shards = [shard.path.name for split in splits for shard in split.shards]
    split_width = max(len(word) for word in ("split", *(split.name for split in splits)))
    shard_width = max(map(len, ["shard", *shards]))

    def line(sizes: Mapping[str, int | str], split: str, shard: str, key: str) -> str:
        columns = [f"{sizes.get(field, '-'):>{width}}" for field, width in fields.items()]
        return "  ".join([*columns, f"{split:{split_width}}", f"{shard:{shard_width}}", key])

    heading = line({field: field for field in fields}, "split", "shard", "key")
    for number, sample in enumerate(samples):
        if not number:
            yield heading
        yield line(sample.sizes, sample.split, sample.shard, sample.key)


def _num_digits(splits: "list[OpenedSplit]", field: str) -> int:
    indexes = [split.index for split in splits if field in split.index.fields]
    return max(len(str(index.records["fields"][field]["size"].max(initial=0))) for index in indexes)
