"""Make the index and dataset.json anew from the tar files, which stay as they are; WebDataset's become a dataset."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.runs.sizes import bytes_text, count_text

from ..base import Project
from .base import byte_bar, print_json

if TYPE_CHECKING:
    from labwright.shards import Rebuilt


def add_flags(parser: ArgumentParser) -> None:
    parser.epilog = (
        "Splits, codecs and metadata are kept from the dataset.json there is, else told from the names of files."
    )
    parser.add_argument("path", metavar="PATH", help="a directory of shards: labwright's, quix's or WebDataset's")
    parser.add_argument(
        "--accept_changes",
        action="store_true",
        help="take shards that have changed since they were written as they are",
    )
    parser.add_argument("--json", action="store_true", help="say what was written as JSON")


def run(given: Namespace, project: Project) -> None:
    """Write it, and say what."""
    from labwright.shards import rebuild

    folder = Path(given.path).expanduser()
    total = sum(file.stat().st_size for file in folder.glob("*.tar") if file.is_file())
    with byte_bar("indexing", total) as progress:
        rebuilt = rebuild(folder, accept_changes=given.accept_changes, progress=progress)
    for note in rebuilt.notes:
        print(f"note: {note}", file=sys.stderr)
    facts = _facts(given.path, rebuilt)
    print_json(facts) if given.json else _print(facts)


def _facts(path: str, rebuilt: "Rebuilt") -> dict[str, Any]:
    manifest = rebuilt.manifest
    return {
        "path": path,
        "fields": {name: field.codec for name, field in manifest.fields.items()},
        "splits": {
            name: {
                "num_samples": split.num_samples,
                "num_shards": len(split.shards),
                "num_bytes": sum(shard.num_bytes for shard in split.shards),
                "index": split.index.name,
                "keys": split.keys.name,
            }
            for name, split in manifest.splits.items()
        },
        "notes": list(rebuilt.notes),
    }


def _print(facts: dict[str, Any]) -> None:
    for name, split in facts["splits"].items():
        amount = f"{count_text(split['num_samples'], 'sample')} in {count_text(split['num_shards'], 'shard')}"
        print(f"{name}: {amount}, {bytes_text(split['num_bytes'])}: {split['index']}, {split['keys']}")
    fields = ", ".join(f"{name} ({codec})" for name, codec in facts["fields"].items())
    print(f"{Path(facts['path']) / 'dataset.json'}: fields {fields}")
