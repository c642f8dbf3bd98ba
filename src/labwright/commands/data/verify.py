"""Check every byte of datasets: shards and index against the manifest, each field against its checksum."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args.wording import one_line
from labwright.runs.durable import strict_json
from labwright.runs.sizes import bytes_text, count_text

from ..base import Project
from .base import PATH_HELP, byte_bar, say

if TYPE_CHECKING:
    from labwright.shards import Damage
    from labwright.shards.manifest import Manifest


def add_flags(parser: ArgumentParser) -> None:
    parser.epilog = "Exit code: 0 all is whole, 1 something is damaged, 2 there is no dataset."
    parser.add_argument("paths", nargs="+", metavar="PATH", help=PATH_HELP)
    parser.add_argument(
        "--json",
        action="store_true",
        help="JSON documents, a line each: for each damage, then for its dataset",
    )


def run(given: Namespace, project: Project) -> int:
    """Print each damage as it is found, and a line for each dataset; 1 if one of them is damaged."""
    counts = [_verify(path, as_json=given.json) for path in given.paths]
    return 1 if any(counts) else 0


def _verify(path: str, *, as_json: bool) -> int:
    """How much is damaged in one dataset."""
    from labwright.shards import verify

    folder, num_bytes, num_damages = Path(path).expanduser(), 0, 0
    manifest = _manifest(folder)
    total = None if manifest is None else _num_bytes(manifest)
    with byte_bar(f"verifying {one_line(path)}", total) as tell:

        def progress(count: int) -> None:
            nonlocal num_bytes
            num_bytes += count
            tell(count)

        for damage in verify(folder, progress=progress):
            num_damages += not (damage.is_debris or damage.is_detail)
            if as_json:
                say(strict_json({"path": path, **damage._asdict()}).decode(), sys.stdout)
            elif not damage.is_detail:
                say(_line(path, damage), sys.stderr if damage.is_debris else sys.stdout)
    facts = _facts(path, manifest, num_bytes, num_damages)
    print(strict_json(facts).decode() if as_json else _summary(facts))
    return num_damages


def _manifest(folder: Path) -> "Manifest | None":
    """None: it has none that can be read."""
    from labwright.shards import ShardError
    from labwright.shards.manifest import read_manifest

    try:
        return read_manifest(folder)
    except ShardError:
        return None


def _num_bytes(manifest: "Manifest") -> int:
    return sum(shard.num_bytes for split in manifest.splits.values() for shard in split.shards)


def _line(path: str, damage: "Damage") -> str:
    member = f"{damage.key}.{damage.field}" if damage.key and damage.field else damage.key or damage.field
    folder = Path(path) if Path(path).is_dir() else Path(path).parent
    place = ": ".join(filter(None, [str(folder / damage.shard), member]))
    return f"{'note: ' * damage.is_debris}{one_line(place, 1000)}: {damage.what}"


def _facts(path: str, manifest: "Manifest | None", num_bytes: int, num_damages: int) -> dict[str, Any]:
    splits = [] if manifest is None else manifest.splits.values()
    return {
        "path": path,
        "is_whole": num_damages == 0,
        "num_damages": num_damages,
        "has_checksums": manifest is not None,
        "num_bytes": num_bytes,
        "num_samples": sum(split.num_samples for split in splits) if splits else None,
        "num_shards": sum(len(split.shards) for split in splits) if splits else None,
    }


def _summary(facts: dict[str, Any]) -> str:
    if facts["num_damages"]:
        return f"{facts['path']}: damaged in {count_text(facts['num_damages'], 'place')}"
    size = bytes_text(facts["num_bytes"])
    if not facts["has_checksums"]:
        return f"{facts['path']}: the tar files are in order, {size}; there are no checksums to check their content by"
    amount = f"{count_text(facts['num_samples'] or 0, 'sample')} in {count_text(facts['num_shards'] or 0, 'shard')}"
    return f"{facts['path']}: whole, {amount}, {size}"
