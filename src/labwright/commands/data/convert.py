"""Make labwright shards of quix or WebDataset ones: the same bytes, with an index and checksums."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from ..base import Project
from .base import PATH_HELP, opened
from .writing import add_shard_flags, field_map, refuse_nested, write

EPILOG = "For labwright shards it is a copy in other shards. An incomplete sample lacks a field that others have."


def add_flags(parser: ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("source", metavar="SOURCE", help=PATH_HELP)
    parser.add_argument("dest", metavar="DEST", type=Path, help="directory of the new dataset")
    parser.add_argument(
        "--codecs",
        metavar="FIELD=CODEC,...",
        help="the codec of a field whose name does not say it: image=jpg,pkl=bytes",
    )
    add_shard_flags(parser, skip="leave out incomplete samples, and list them")


def run(given: Namespace, project: Project) -> int:
    """Convert, and print what was written."""
    from labwright.shards.sources.stored import stored_source

    dataset, dest = opened(given.source), given.dest.expanduser()
    refuse_nested(dataset.directory, dest)
    return write(stored_source(dataset, field_map(given.codecs, "--codecs")), dest, given)
