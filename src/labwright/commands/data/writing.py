"""What pack, convert and split share: flags of the shards, progress, and a summary of what was written."""

import contextlib
import sys
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Generator, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args.errors import UserError
from labwright.args.wording import shortened
from labwright.runs.sizes import bytes_text, count_text, seconds_text

from ..table import print_table
from .base import print_json

if TYPE_CHECKING:
    from labwright.shards.packing import Packed
    from labwright.shards.sources.base import Source

_SIZES = {"": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
_MOST_CLASSES = 30
_PLAIN_SECONDS = 5.0


def add_shard_flags(parser: ArgumentParser, *, skip: str) -> None:
    """How shards are written, and `--json`; `skip` says what --skip_unreadable leaves out."""
    parser.add_argument(
        "--shard_bytes",
        default="256M",
        metavar="SIZE",
        help="most that a shard may have: 512K, 64M, 1G (default: %(default)s)",
    )
    parser.add_argument("--shard_samples", type=int, metavar="N", help="most samples in a shard (default: no limit)")
    parser.add_argument(
        "--num_workers",
        type=int,
        metavar="N",
        help="threads; the files are the same for any number (default: a core each)",
    )
    parser.add_argument("--skip_unreadable", action="store_true", help=skip)
    parser.add_argument("--json", action="store_true", help="print what was written as JSON")


def write(source: "Source", dest: Path, given: Namespace, *, append: bool = False) -> int:
    """Pack `source` into `dest` as the flags say, and print what came of it."""
    from labwright.shards.packing import pack
    from labwright.shards.sources.base import Unreadable

    for name in ("shard_samples", "num_workers"):
        number = getattr(given, name)
        if number is not None and number < 1:
            raise UserError(f"--{name}={number}: at least 1")
    options: dict[str, Any] = {"shard_bytes": size_of(given.shard_bytes), "shard_samples": given.shard_samples}
    options |= {"skip_unreadable": given.skip_unreadable, "num_workers": given.num_workers}
    with sample_bar(dest.name, sum(len(samples.keys) for samples in source.splits.values())) as progress:
        try:
            packed = pack(source, dest, append=append, progress=progress, **options)
        except Unreadable as error:
            if given.skip_unreadable:
                raise
            raise UserError(f"{error}; --skip_unreadable leaves out what cannot be packed, and lists it") from error
    if given.json:
        print_json(_document(dest, packed))
    else:
        _print(dest, source, packed)
    return 0


def size_of(text: str) -> int:
    """`64M` in bytes; a UserError if it is no size."""
    number, unit = text.strip().lower().removesuffix("b").removesuffix("i"), ""
    if number[-1:] in _SIZES and number[-1:]:
        number, unit = number[:-1], number[-1]
    try:
        size = int(float(number) * _SIZES[unit])
    except (ValueError, OverflowError):
        size = 0
    if size < 4096:
        raise UserError(f"--shard_bytes={text} is no size of a shard: write 512K, 64M or 1G, and at least 4K")
    return size


def field_map(text: str | None, flag: str = "--fields") -> dict[str, str] | None:
    """`jpg=path,cls` as the column (or codec) of each field; None: nothing was said."""
    if text is None:
        return None
    chosen: dict[str, str] = {}
    for part in text.split(","):
        name, equals, column = (each.strip() for each in part.partition("="))
        if not name or (equals and not column):
            raise UserError(f"{flag}={text}: write NAME=VALUE,... such as jpg=image,cls=label")
        if name in chosen:
            raise UserError(f"{flag}={text}: {name} is there twice")
        chosen[name] = column or name
    return chosen


def say(line: str) -> None:
    """For people, on stderr."""
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def sample_bar(title: str, total: int) -> Generator[Callable[[int], object]]:
    """A function to tell of samples that are done: a bar with the rate, or a line every few seconds; on stderr."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(total=total, desc=title, unit="sample", file=sys.stderr, leave=False, dynamic_ncols=True) as bar:
            yield bar.update
        return
    begun = due = time.monotonic()
    done = 0

    def add(number: int) -> None:
        nonlocal done, due
        done += number
        now = time.monotonic()
        if now >= due + _PLAIN_SECONDS:
            due = now
            say(f"{title}: {done:,} of {count_text(total, 'sample')}, {done / (now - begun):,.0f}/s")

    yield add


def _document(dest: Path, packed: "Packed") -> dict[str, Any]:
    counts = packed.class_counts
    return {
        "path": str(dest),
        "num_samples": sum(packed.num_samples.values()),
        "num_shards": packed.num_shards,
        "num_bytes": packed.num_bytes,
        "seconds": round(packed.seconds, 3),
        "splits": {
            name: {"num_samples": number, "classes": {field: each.get(name, {}) for field, each in counts.items()}}
            for name, number in packed.num_samples.items()
        },
        "left_out": packed.left_out,
    }


def _print(dest: Path, source: "Source", packed: "Packed") -> None:
    from labwright.shards.sources.base import known_classes

    num_samples = sum(packed.num_samples.values())
    print(
        f"{dest}: {count_text(num_samples, 'sample')} written in {seconds_text(packed.seconds)} "
        f"({num_samples / max(packed.seconds, 1e-9):,.0f} samples/s); {count_text(packed.num_shards, 'shard')}, "
        f"{bytes_text(packed.num_bytes)}"
    )
    splits = list(packed.num_samples)
    rows = [["samples", *(str(packed.num_samples[split]) for split in splits)]]
    names = known_classes(source.metadata, source.fields)
    for field, counts in packed.class_counts.items():
        rows += _class_rows(field, [counts.get(split, {}) for split in splits], names.get(field, []))
    print_table(["", *splits], rows)
    if packed.left_out:
        print(f"left out: {len(packed.left_out):,}")
        for line in shortened(packed.left_out):
            say(f"  {line}")


def _class_rows(field: str, counts: Sequence[dict[int, int]], names: Sequence[str]) -> list[list[str]]:
    """A row for each class, or one that sums up where there are many."""
    classes = sorted({label for each in counts for label in each})
    if len(classes) > _MOST_CLASSES:
        return [[f"{field} classes", *(str(len(each)) for each in counts)], *_extremes(field, counts)]
    labels = [names[label] if 0 <= label < len(names) else str(label) for label in classes]
    return [
        [f"{field} {text}", *(str(each.get(label, 0)) for each in counts)]
        for label, text in zip(classes, labels, strict=True)
    ]


def _extremes(field: str, counts: Sequence[dict[int, int]]) -> Iterator[list[str]]:
    for name, choose in (("smallest", min), ("largest", max)):
        yield [f"{field} {name} class", *(str(choose(each.values(), default=0)) for each in counts)]


def refuse_nested(source: Path, dest: Path) -> None:
    """A UserError if what is written would lie in what is read."""
    if dest.resolve() == source.resolve() or source.resolve() in dest.resolve().parents:
        raise UserError(f"{dest} lies in {source}, which is read: write somewhere else")
