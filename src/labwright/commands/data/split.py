"""Divide a dataset into train, val and test: by class, by group, or both; the samples' bytes stay as they are."""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from labwright.args.errors import UserError

from ..base import Project
from .base import PATH_HELP, opened
from .dividing import add_fraction_flags, divided
from .writing import add_shard_flags, refuse_nested, write

EPILOG = "Splits that are there stay as they are, but for the one that samples are held out of."


def add_flags(parser: ArgumentParser) -> None:
    parser.epilog = EPILOG
    parser.add_argument("path", metavar="PATH", help=PATH_HELP)
    parser.add_argument("dest", metavar="DEST", type=Path, help="directory of the new dataset")
    parser.add_argument("--split", default="train", metavar="NAME", help="hold out of this one (default: %(default)s)")
    add_fraction_flags(parser, default_stratify="the first field of classes, if there is no --group")
    add_shard_flags(parser, skip="leave out incomplete samples, and list them")


def run(given: Namespace, project: Project) -> int:
    """Divide, and print what each split got."""
    from labwright.shards.sources.stored import stored_source

    if not given.val_fraction and not given.test_fraction:
        raise UserError("split: say how much is held out: --val_fraction=0.1, --test_fraction=0.2, or both")
    dataset, dest = opened(given.path), given.dest.expanduser()
    refuse_nested(dataset.directory, dest)
    return write(divided(stored_source(dataset), given, given.split), dest, given)
