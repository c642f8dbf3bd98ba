"""Make shards of a folder of classes, a CSV manifest, a Hugging Face dataset, or IDX files."""

import json
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args.errors import UserError
from labwright.args.reading import reading

from ..base import Project
from .dividing import add_fraction_flags, divided
from .writing import add_shard_flags, field_map, refuse_nested, say, write

if TYPE_CHECKING:
    from labwright.shards.sources.base import Source

FORMATS = {
    "folder": "a folder of classes",
    "csv": "a CSV manifest",
    "huggingface": "a Hugging Face dataset",
    "idx": "a folder of IDX files",
}
EPILOG = "Encoded images go in as they are. Classes keep their shares where samples are held out."


def add_flags(parser: ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument(
        "source",
        metavar="SOURCE",
        type=Path,
        help="folder/CLASS/1.png, folder/train/CLASS/1.png, a CSV file, what save_to_disk wrote, or MNIST's files",
    )
    parser.add_argument("dest", metavar="DEST", type=Path, help="directory of the new dataset")
    parser.add_argument("--format", choices=FORMATS, help="what SOURCE is (default: guessed, and said)")
    parser.add_argument(
        "--fields",
        metavar="FIELD=COLUMN,...",
        help="what becomes which field; the last part of a field's name says its codec: jpg=image,cls=label, "
        "mask.png=mask (columns of a folder and of IDX files: image, class)",
    )
    parser.add_argument(
        "--check",
        choices=("decode", "header"),
        default="decode",
        help="encoded files are checked by decoding them, or by their first bytes alone (default: %(default)s)",
    )
    parser.add_argument("--metadata", metavar="JSON", help='kept in dataset.json: \'{"licence": "CC0"}\'')
    parser.add_argument("--append", action="store_true", help="add to the dataset at DEST")
    add_fraction_flags(parser, default_stratify="the classes, if there is no --group")
    add_shard_flags(parser, skip="leave out files and rows that cannot be packed, and list them")


def run(given: Namespace, project: Project) -> int:
    """Pack, and print what was written."""
    path, dest = given.source.expanduser(), given.dest.expanduser()
    kind = given.format or _guess(path)
    if path.is_dir():
        refuse_nested(path, dest)
    if given.format is None:
        say(f"packing {path} as {FORMATS[kind]}")
    source = read_source(kind, path, given, _before(dest) if given.append else None)
    for note in source.notes:
        say(f"note: {note}")
    return write(divided(_with_metadata(source, given.metadata), given), dest, given, append=given.append)


def read_source(kind: str, path: Path, given: Namespace, known: "dict[str, list[str]] | None" = None) -> "Source":
    """What there is to pack; `known` are the classes of the dataset that is added to."""
    fields = field_map(given.fields)
    if kind == "csv":
        from labwright.shards.sources.csv_manifest import csv_source

        return csv_source(path, fields, check=given.check, class_names=known)
    if kind == "huggingface":
        from labwright.shards.sources.huggingface import huggingface_source

        return huggingface_source(path, fields, check=given.check)
    if kind == "idx":
        from labwright.datasets.idx import read_idx
        from labwright.shards.sources.idx import idx_source

        return idx_source(path, fields, read=lambda file: read_idx(file).array)
    from labwright.shards.sources.folder import folder_source

    return folder_source(path, fields, check=given.check, class_names=next(iter((known or {}).values()), None))


def _guess(path: Path) -> str:
    """What the source looks like."""
    if path.is_file():
        if path.suffix.lower() == ".csv":
            return "csv"
        raise UserError(f"{path} is no .csv file; what is it? --format=csv, or name a folder")
    if not path.is_dir():
        raise UserError(f"{path} does not exist" if not path.exists() else f"{path} is neither a file nor a folder")
    names = {each.name for each in _entries(path)}
    if names & {"dataset_dict.json", "dataset_info.json"}:
        return "huggingface"
    if names & {"dataset.json", "config.json"} or any(name.endswith(".tar") for name in names):
        raise UserError(f"{path} holds shards already; make labwright shards of others by: data convert {path} DEST")
    from labwright.shards.sources.idx import is_idx_folder

    return "idx" if is_idx_folder(path) else "folder"


def _entries(path: Path) -> list[Path]:
    with reading(path):
        return list(path.iterdir())


def _before(dest: Path) -> dict[str, list[str]]:
    """The classes that the dataset has."""
    from labwright.shards.manifest import read_manifest
    from labwright.shards.sources.base import known_classes

    manifest = read_manifest(dest)
    return known_classes(manifest.metadata, {name: info.codec for name, info in manifest.fields.items()})


def _with_metadata(source: "Source", text: str | None) -> "Source":
    if text is None:
        return source
    from dataclasses import replace

    try:
        metadata: Any = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"--metadata is no JSON: {error}") from None
    if not isinstance(metadata, dict):
        raise UserError(f'--metadata={text} is no JSON object, such as {{"licence": "CC0"}}')
    return replace(source, metadata=source.metadata | metadata)
