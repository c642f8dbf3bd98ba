"""Print one field of a sample on stdout: its bytes as they are stored, or what they hold."""

import sys
import zlib
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from labwright.args.errors import UserError
from labwright.args.wording import nearest, quoted
from labwright.runs.durable import strict_json
from labwright.runs.sizes import bytes_text

from ..base import Project
from .base import PATH_HELP, chosen_splits, opened
from .fields import Fields, class_names_of, shard_name
from .values import value_document, value_text

if TYPE_CHECKING:
    from labwright.shards import Opened, OpenedSplit


class _Member(NamedTuple):
    split: "OpenedSplit"
    position: int
    key: str
    field: str


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help=f"{PATH_HELP}; it may also stand last")
    parser.add_argument("names", nargs="+", metavar="KEY.FIELD", help="what to print of it")
    parser.add_argument("--split", metavar="NAME", help="where to look for the key (default: everywhere)")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--decode", action="store_true", help="print text, JSON, the class, or what an array holds")
    form.add_argument(
        "--json", action="store_true", help="place, size, checksum and decoded value as JSON, a line each"
    )


def run(given: Namespace, project: Project) -> None:
    """Print the fields one after the other; nothing at all where one of them does not exist."""
    path, names = _path_and_names(given)
    dataset = opened(path)
    splits = [dataset.split(name) for name in chosen_splits(dataset, given.split)]
    for member in [_find(splits, name) for name in names]:
        _print(dataset, member, given)


def _path_and_names(given: Namespace) -> tuple[str, list[str]]:
    words = [given.path, *given.names]
    is_last = not Path(words[0]).expanduser().exists() and Path(words[-1]).expanduser().exists()
    return (words[-1], words[:-1]) if is_last else (words[0], words[1:])


def _find(splits: "list[OpenedSplit]", name: str) -> _Member:
    """The one sample and field that are called `name`."""
    found = [member for split in splits for member in _members(split, name)]
    if not found:
        raise UserError(_why_missing(splits, name))
    if len(found) > 1:
        places = ", ".join(f"--split={member.split.name}" for member in found)
        raise UserError(f"data cat: {quoted(name)} is in several splits; choose one: {places}")
    return found[0]


def _members(split: "OpenedSplit", name: str) -> Iterator[_Member]:
    for field in split.index.fields:
        key = name.removesuffix(f".{field}")
        position = split.index.keys.find(key) if key and key != name else None
        if position is not None:
            yield _Member(split, position, key, field)


def _why_missing(splits: "list[OpenedSplit]", name: str) -> str:
    fields = list(dict.fromkeys(field for split in splits for field in split.index.fields))
    head, slash, last = name.rpartition("/")
    parts = last.split(".")
    for count in range(len(parts), 0, -1):
        key, field = head + slash + ".".join(parts[:count]), ".".join(parts[count:])
        if any(split.index.keys.find(key) is not None for split in splits if key):
            guess = nearest(field, fields) if field else None
            wrong = f"has no field {quoted(field)}" if field else "is a key: a field is missing behind it"
            hint = f"; did you mean {guess}?" if guess else ""
            return f"data cat: {quoted(key)} {wrong}; the fields: {', '.join(fields)}{hint}"
    example = next((f"{split.index.keys[0]}.{fields[0]}" for split in splits if len(split.index)), None)
    there = f"a sample here: {example}" if example else "the dataset is empty"
    return f"data cat: no sample is called {quoted(name)}; {there}; data ls lists them"


def _print(dataset: "Opened", member: _Member, given: Namespace) -> None:
    fields = Fields(dataset, member.split)
    if given.json:
        print(strict_json(_document(dataset, member, fields)).decode())
    elif given.decode:
        value = fields.decode(member.position, member.field)
        print(value_text(value, class_names_of(dataset, member.field)))
    else:
        _write(fields.read(member.position, member.field), f"{member.key}.{member.field}")


def _write(data: bytes, name: str) -> None:
    """The bytes on stdout, whatever they are; to a terminal only text."""
    if sys.stdout.isatty() and not _is_text(data):
        size = bytes_text(len(data))
        raise UserError(f"data cat: {name}: {size} that are no text; send them to a file, or add --decode")
    sys.stdout.flush()
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _is_text(data: bytes) -> bool:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return False
    return all(character.isprintable() or character in "\n\r\t" for character in text)


def _document(dataset: "Opened", member: _Member, fields: Fields) -> dict[str, Any]:
    record = member.split.index.records[member.position]
    place = record["fields"][member.field]
    return {
        "split": member.split.name,
        "key": member.key,
        "field": member.field,
        "shard": shard_name(member.split, int(record["shard"])),
        "offset": int(place["offset"]),
        "num_bytes": int(place["size"]),
        "crc32": zlib.crc32(fields.read(member.position, member.field)),
        "codec": dataset.codecs[member.field],
        "value": value_document(fields.decode(member.position, member.field)),
    }
