"""What pack and split share: the flags that hold out samples, and what was written."""

from argparse import ArgumentParser, Namespace
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, Any

from labwright.args.errors import UserError
from labwright.args.wording import one_line

if TYPE_CHECKING:
    from labwright.shards.sources.base import Samples, Source

_KEY = "key:"


def add_fraction_flags(parser: ArgumentParser, *, default_stratify: str) -> None:
    """`--val_fraction` and what belongs to it."""
    parser.add_argument("--val_fraction", type=float, default=0.0, metavar="F", help="share held out as split val")
    parser.add_argument("--test_fraction", type=float, default=0.0, metavar="F", help="share held out as split test")
    parser.add_argument(
        "--group",
        metavar="FIELD",
        help="samples that agree in this field or column stay in one split; key:_ stands for what the key has before "
        "its last _, key:/ for its folder",
    )
    parser.add_argument(
        "--stratify",
        metavar="FIELD",
        help=f"its values keep their shares in each split; none: by chance (default: {default_stratify})",
    )
    parser.add_argument("--seed", type=int, default=0, help="draws the split (default: %(default)s)")


def divided(source: "Source", given: Namespace, split: str = "train") -> "Source":
    """`source` with samples of one split held out as val and test, as the flags say."""
    for name in ("val_fraction", "test_fraction"):
        if not 0 <= getattr(given, name) < 1:
            raise UserError(f"--{name}={getattr(given, name):g} is no share: from 0 to below 1")
    if given.seed < 0:
        raise UserError(f"--seed={given.seed} is no seed: 0 or more")
    fractions = {"val": given.val_fraction, "test": given.test_fraction}
    asked = [name for name, fraction in fractions.items() if fraction > 0]
    if not asked:
        if given.group or given.stratify:
            raise UserError(
                "--group and --stratify say how samples are held out: give --val_fraction or --test_fraction"
            )
        return source
    if split not in source.splits:
        raise UserError(f"there is no split {split!r} to hold samples out of; there are {', '.join(source.splits)}")
    for name in asked:
        if name in source.splits:
            raise UserError(f"there is a split {name!r} already: leave out --{name}_fraction")
    from dataclasses import replace

    from labwright.shards.sources.base import Chosen

    samples = source.splits[split]
    parts = _positions(source, samples, given)
    held_out = {name: Chosen(samples, part) for name, part in zip(("val", "test"), parts[1:], strict=True) if len(part)}
    return replace(source, splits={**source.splits, split: Chosen(samples, parts[0]), **held_out})


def _positions(source: "Source", samples: "Samples", given: Namespace) -> Sequence[Any]:
    """Of the samples that stay, of val, and of test."""
    import numpy as np

    from labwright.datasets.splits import hold_out

    groups = None if given.group is None else np.array(_groups(samples, given.group))
    default = next((name for name, codec in source.fields.items() if codec == "cls"), None)
    by = given.stratify or (None if given.group else default)
    classes = None if by in (None, "none") else np.array(samples.labels(by))
    if given.group is not None and given.group == by:
        raise UserError(f"--group and --stratify are both {by!r}: each value would be in one split only")
    options: dict[str, Any] = {"seed": given.seed}
    options |= {"val_fraction": given.val_fraction, "test_fraction": given.test_fraction}
    labels = len(samples.keys) if classes is None else classes
    return hold_out(labels, groups=groups, balanced=classes is not None, **options)


def _groups(samples: "Samples", group: str) -> Sequence[Hashable]:
    separator = group.removeprefix(_KEY)
    if separator == group:
        return samples.labels(group)
    if not separator:
        raise UserError("--group=key: says nothing to cut keys at: write key:_ or key:/")
    for key in samples.keys:
        if separator not in key:
            raise UserError(f"--group={group}: the key {one_line(key)!r} has no {separator!r} to be cut at")
    return [key.rpartition(separator)[0] for key in samples.keys]
