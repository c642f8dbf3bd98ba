"""Draw a contact sheet of a dataset: samples with their classes, masks laid over them, arrays as heat maps."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args.errors import UserError
from labwright.runs.sizes import count_text

from ..base import Project
from .base import PATH_HELP, chosen_splits, opened, print_json
from .choice import NONE, Choice

if TYPE_CHECKING:
    from labwright.shards import OpenedSplit

    from .tiles import Tile

_MOST_SAMPLES = 400
_NUM_NAMED = 5
"""Samples that cannot be shown: these on stderr, all of them on the sheet."""
_FEW, _SIDE_OF_FEW, _SIDE_OF_MANY = 50, 800, 400
"""How many pixels along its longer side are kept of a picture, so that a sheet fits into memory."""


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="PATH", help=PATH_HELP)
    parser.add_argument(
        "--output", type=Path, default=Path("preview.png"), metavar="FILE", help="the picture (default: %(default)s)"
    )
    parser.add_argument("--split", metavar="NAME", help="which split (default: the first)")
    parser.add_argument("--num_samples", type=int, default=24, metavar="N", help="how many (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="chooses the samples (default: %(default)s)")
    parser.add_argument("--field", metavar="NAME", help="what to show (default: the first with images, else arrays)")
    parser.add_argument("--mask", metavar="NAME", help=f"a mask to lay over it (default: the first; {NONE}: without)")
    parser.add_argument("--label", metavar="NAME", help=f"what to write below (default: the class; {NONE}: nothing)")
    parser.add_argument("--columns", type=int, metavar="N", help="tiles in a row (default: what fits)")
    parser.add_argument("--json", action="store_true", help="say what is on the sheet as JSON")


def run(given: Namespace, project: Project) -> int:
    """Draw it; 1 where a sample is damaged: its tile says how."""
    _check(given)
    dataset = opened(given.path)
    split = dataset.split(next(iter(chosen_splits(dataset, given.split)), ""))
    if not split.num_samples:
        raise UserError(f"data preview: {given.path}: the split {split.name} has no samples")
    choice = Choice(dataset, split, field=given.field, mask=given.mask, label=given.label)
    positions = _positions(split, given.num_samples, given.seed)
    tiles = [choice.tile(position, _SIDE_OF_FEW if len(positions) <= _FEW else _SIDE_OF_MANY) for position in positions]
    _draw(tiles, choice, given)
    problems = [tile.problem for tile in tiles if tile.problem]
    for line in problems[:_NUM_NAMED]:
        print(line, file=sys.stderr)
    if len(problems) > _NUM_NAMED:
        print(f"... and {len(problems) - _NUM_NAMED} more; data verify names all that is damaged", file=sys.stderr)
    if given.json:
        print_json(_document(tiles, choice, given))
    else:
        print(f"picture: {given.output}")
    return 1 if problems else 0


def _check(given: Namespace) -> None:
    if not 1 <= given.num_samples <= _MOST_SAMPLES:
        raise UserError(f"--num_samples: {given.num_samples} is not from 1 to {_MOST_SAMPLES}")
    if given.columns is not None and not 1 <= given.columns <= _MOST_SAMPLES:
        raise UserError(f"--columns: {given.columns} is not from 1 to {_MOST_SAMPLES}")
    given.output = given.output.expanduser()
    folder = given.output.absolute().parent
    if given.output.suffix.lower() != ".png" or given.output.is_dir() or not folder.is_dir():
        raise UserError(f"--output={given.output}: must be a .png file in a folder that is there")
    if not os.access(folder, os.W_OK):
        raise UserError(f"--output={given.output}: nothing may be written in {folder}")


def _positions(split: "OpenedSplit", count: int, seed: int) -> list[int]:
    """Some samples, the same for the same seed, in their order."""
    from labwright.shards import Permutation

    count = min(count, split.num_samples)
    return sorted(Permutation(split.num_samples, seed, 0).positions(0, count).tolist())


def _draw(tiles: "Sequence[Tile]", choice: Choice, given: Namespace) -> None:
    from .contact_sheet import draw_contact_sheet

    split = choice.split
    amount = f"{len(tiles):,} of {count_text(split.num_samples, 'sample')}"
    shown = [choice.field, *(f"with {choice.mask}" for _ in [1] if choice.mask)]
    num_broken = sum(bool(tile.problem) for tile in tiles)
    notes = [amount, " ".join(shown), *([f"{num_broken} damaged"] if num_broken else [])]
    try:
        draw_contact_sheet(
            tiles,
            given.output,
            f"{Path(given.path).expanduser().resolve().name}: {split.name}",
            subtitle=" · ".join(notes),
            class_names=choice.class_names,
            num_columns=given.columns,
        )
    except OSError as error:
        raise UserError(
            f"{given.output} cannot be written ({error.strerror}); choose another with --output=FILE"
        ) from error


def _document(tiles: "Sequence[Tile]", choice: Choice, given: Namespace) -> dict[str, Any]:
    return {
        "output": str(given.output),
        "path": given.path,
        "split": choice.split.name,
        "field": choice.field,
        "mask": choice.mask,
        "label": choice.label,
        "seed": given.seed,
        "samples": [{"key": tile.note, "label": tile.label or None, "problem": tile.problem or None} for tile in tiles],
    }
