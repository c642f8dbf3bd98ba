"""Which field of shards is the input and which the target, and how each is decoded."""

from collections.abc import Sequence
from itertools import permutations
from typing import TYPE_CHECKING, NamedTuple

from labwright.args.wording import listed, not_one_of
from labwright.shards import Opened, ShardDataset, ShardError
from labwright.shards.codecs import ClsCodec, Codec, ImageCodec, NpyCodec, RleCodec, SegCodec

from .args import ShardsDataArgs
from .fitted import FittedCodec, PngMaskCodec

if TYPE_CHECKING:
    from .args import Task


class ChosenFields(NamedTuple):
    """What is read of each sample, and how."""

    names: dict[str, str]
    codecs: dict[str, Codec]
    task: "Task"
    is_image: bool


def choose_fields(args: ShardsDataArgs, opened: Opened, split: str) -> ChosenFields:
    """The fields that `args` names, or the only two as input and target.

    Raises:
        ShardError: they do not say which is which, or are no input and target.
    """
    stored = opened.split(split).index.fields
    names = args.fields if args.fields is not None else _only_two(opened, split, stored)
    if len(names) != 2:
        raise _unclear(opened, split, stored)
    for name in names:
        if name not in stored:
            raise ShardError(f"{opened.directory} has no such field: {not_one_of(name, list(stored))}")
    if names[0] == names[1]:
        raise ShardError(f"--dataset.fields: {names[0]!r} is both the input and the target")
    chosen: dict[str, str] = {"input": names[0], "target": names[1]}
    codecs = {name: _codec(opened, split, name) for name in names}
    for name, codec in codecs.items():
        if codec is None:
            raise ShardError(
                f"the field {name!r} of {opened.directory} has no codec that is known here; one of your own is given "
                "to a ShardDataset, in the build_datasets() of an experiment"
            )
    input_codec, is_image = _input_codec(args, names[0], codecs[names[0]])
    target_codec, task = _target_codec(args, names[1], codecs[names[1]])
    return ChosenFields(chosen, {names[0]: input_codec, names[1]: target_codec}, task, is_image)


def _only_two(opened: Opened, split: str, stored: Sequence[str]) -> Sequence[str]:
    """Two fields as input and target: in the only order that is possible, else as they were written."""
    if len(stored) != 2:
        return stored
    pairs = _possible_pairs(opened, split, stored)
    if len(pairs) > 1 and opened.kind == "webdataset":  # it knows no order of fields
        raise _unclear(opened, split, stored)
    return pairs[0] if len(pairs) == 1 else stored


def _possible_pairs(opened: Opened, split: str, stored: Sequence[str]) -> list[tuple[str, str]]:
    """Pairs that may be an input and its target, the likeliest first: classes before masks before numbers."""
    codecs = {field: _codec(opened, split, field) for field in stored}
    pairs = [(a, b) for a, b in permutations(stored, 2) if _is_input(codecs[a]) and _is_target(codecs[b])]
    kinds = (ClsCodec, SegCodec | RleCodec, ImageCodec, NpyCodec)
    rank = {
        field: next((i for i, kind in enumerate(kinds) if isinstance(codec, kind)), -1)
        for field, codec in codecs.items()
    }
    return sorted(pairs, key=lambda pair: (rank[pair[1]], rank[pair[0]]))


def _codec(opened: Opened, split: str, field: str) -> Codec | None:
    try:
        return ShardDataset(opened, split, [field]).codecs[field]
    except ShardError:
        return None


def _is_input(codec: Codec | None) -> bool:
    return isinstance(codec, ImageCodec | NpyCodec)


def _is_target(codec: Codec | None) -> bool:
    is_mask = isinstance(codec, ImageCodec) and "png" in codec.names
    return is_mask or isinstance(codec, ClsCodec | NpyCodec | SegCodec | RleCodec)


def _unclear(opened: Opened, split: str, stored: Sequence[str]) -> ShardError:
    pairs = _possible_pairs(opened, split, stored)
    example = f""", for example --dataset.fields='["{'", "'.join(pairs[0])}"]'""" if pairs else ""
    return ShardError(
        f"{opened.directory} has the fields {listed(stored)}: say which is the input and which the target{example}"
    )


def _input_codec(args: ShardsDataArgs, field: str, codec: Codec | None) -> tuple[Codec, bool]:
    """How the input is decoded, and whether it is an image."""
    if isinstance(codec, NpyCodec):
        if args.image_size is not None or args.num_channels is not None:
            raise ShardError(
                f"--dataset.image_size and --dataset.num_channels are for images; the field {field!r} has arrays"
            )
        return codec, False
    if not isinstance(codec, ImageCodec):
        raise ShardError(f"the field {field!r} is no input: an input is an image (jpg, png, ...) or an array (npy)")
    if args.num_channels is not None:
        codec = ImageCodec(codec.names[0], mode="L" if args.num_channels == 1 else "RGB")
    return codec if args.image_size is None else FittedCodec(codec, args.image_size), True


def _target_codec(args: ShardsDataArgs, field: str, codec: Codec | None) -> tuple[Codec, "Task"]:
    """How the target is decoded, and what it is."""
    if isinstance(codec, ClsCodec):
        return codec, "classification"
    if isinstance(codec, NpyCodec):
        return codec, "regression"
    if isinstance(codec, ImageCodec) and "png" in codec.names:
        codec = PngMaskCodec()
    if not isinstance(codec, SegCodec | RleCodec | PngMaskCodec):
        raise ShardError(
            f"the field {field!r} is no target: a target is a class (cls), a mask (png, seg8, seg16, rle) or numbers "
            "(npy)"
        )
    fitted = codec if args.image_size is None else FittedCodec(codec, args.image_size, is_mask=True)
    return fitted, "segmentation"
