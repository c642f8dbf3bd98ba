"""Shards as a dataset part: which field is the input and which the target, what is held out, how inputs are scaled."""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import numpy as np
from torch import Tensor

from labwright.args.wording import listed, not_one_of
from labwright.shards import Opened, ShardDataset, ShardError, open_dataset
from labwright.shards.codecs import ClsCodec, Codec, ImageCodec, NpyCodec, RleCodec, SegCodec

from .args import ShardsDataArgs
from .fitted import FittedCodec, PngMaskCodec
from .images import open_images
from .shard_samples import ShardSamples
from .splits import SPLIT_NAMES, Dataset, Splits, hold_out

if TYPE_CHECKING:
    from .args import Task

_LOOK_STREAM = int.from_bytes(b"look")
_NUM_LOOKED_AT = 256
"""Inputs that tell the mean and deviation of all: a tenth of a second of photographs."""
_MOST_MASKS = 20_000
"""More than these are not opened only to count their classes."""
_AT_ONCE = 64


class _Fields(NamedTuple):
    """What is read of each sample, and how."""

    names: dict[str, str]
    codecs: dict[str, Codec]
    task: "Task"
    is_image: bool


def build_shards(args: ShardsDataArgs) -> Splits:
    """The stored splits as they are; a missing validation or test set is held out of the training set."""
    opened = open_dataset(args.path.expanduser())
    stored, warnings = _stored_splits(opened)
    fields = _choose_fields(args, opened, stored["train"])
    parts = {split: _samples(args, opened, name, fields) for split, name in stored.items()}
    train, val, test = hold_out(
        parts["train"].labels(),
        val_fraction=0 if "val" in parts else args.val_fraction,
        test_fraction=0 if "test" in parts else args.test_fraction,
        seed=args.split_seed,
        groups=parts["train"].groups,
    )
    whole = parts["train"]
    sets = {"train": whole.subset(train), "val": whole.subset(val), "test": whole.subset(test)} | {
        split: part for split, part in parts.items() if split != "train"
    }
    inputs, targets = _look_at(sets["train"], args.split_seed)
    class_names = () if fields.task == "regression" else _class_names(opened, fields.names["target"])
    num_outputs = _num_outputs(args, opened, whole, class_names) or _num_columns(targets)
    scaling = _scaling(opened)
    if scaling is None:
        scaling = _measured(inputs)
        if "mean" in opened.metadata and "std" in opened.metadata:
            warnings = (*warnings, "mean and std in the metadata are not one number each, and are not used.")
    num_classes = 0 if fields.task == "regression" else num_outputs
    sets = {
        split: part.described(tuple(inputs.shape[1:]), *scaling, num_classes=num_classes)
        for split, part in sets.items()
    }
    return Splits(
        train={"train": sets["train"]},
        val={"val": sets["val"]} if len(sets["val"]) else {},
        test={"test": sets["test"]} if len(sets["test"]) else {},
        name=args.path.name,
        task=fields.task,
        num_outputs=num_outputs,
        class_names=class_names,
        is_image=fields.is_image,
        warnings=(*opened.notes, *warnings),
        fingerprint=opened.fingerprint,
    )


def open_shard_inputs(args: ShardsDataArgs, path: Path, splits: Splits) -> Dataset:
    """Inputs to predict: of other shards with the same input field, or the images in a folder, or one image."""
    path = path.expanduser()
    if not _are_shards(path):
        return open_images(path, splits, crop=args.image_size is not None)
    (like,) = splits.train.values()
    assert isinstance(like, ShardSamples)
    opened = open_dataset(path)
    if len(opened.splits) != 1:
        raise ShardError(
            f"{path} has the splits {listed(opened.splits)}; name the tar files of one, such as "
            f"{path}/{opened.splits[-1]}-*.tar"
        )
    field = like.shards.fields["input"]
    shards = ShardDataset(
        opened, opened.splits[0], {"input": field}, codecs={field: like.shards.codecs[field]}, verify=args.verify
    )
    inputs = ShardSamples(shards, is_image=like.is_image).described(like.input_shape, like.mean, like.std)
    shape = tuple(inputs[0]["input"].shape)
    if shape != like.input_shape:
        raise ShardError(f"{path}: its inputs are {list(shape)}, those trained on {list(like.input_shape)}")
    return inputs


def _are_shards(path: Path) -> bool:
    if not path.is_dir():
        return path.suffix == ".tar"
    return any((path / name).is_file() for name in ("dataset.json", "config.json")) or any(path.glob("*.tar"))


def _stored_splits(opened: Opened) -> tuple[dict[str, str], tuple[str, ...]]:
    """The stored splits by what they are for, and a warning about others."""
    found: dict[str, str] = {}
    others: list[str] = []
    for name in opened.splits:
        split = SPLIT_NAMES.get(name)
        if split is None:
            others.append(name)
        elif split in found:
            raise ShardError(f"{opened.directory}: {found[split]!r} and {name!r} are both splits for {split}; keep one")
        else:
            found[split] = name
    if not found and len(others) == 1:
        return {"train": others[0]}, ()
    if "train" not in found:
        raise ShardError(f"{opened.directory} has no split called train; it has {listed(opened.splits) or 'none'}")
    unused = f"the splits {listed(map(repr, others))} are not used: a split for training, validation or test is called "
    return found, (f"{unused}{listed(SPLIT_NAMES)}.",) if others else ()


def _choose_fields(args: ShardsDataArgs, opened: Opened, split: str) -> _Fields:
    stored = opened.split(split).index.fields
    names = args.fields if args.fields is not None else list(stored)
    if len(names) != 2:
        raise ShardError(
            f"{opened.directory} has the fields {listed(stored)}: say which is the input and which the target, for "
            'example --dataset.fields=\'["jpg", "cls"]\''
        )
    for name in names:
        if name not in stored:
            raise ShardError(f"{opened.directory} has no such field: {not_one_of(name, list(stored))}")
    if names[0] == names[1]:
        raise ShardError(f"--dataset.fields: {names[0]!r} is both the input and the target")
    chosen: dict[str, str] = {"input": names[0], "target": names[1]}
    codecs = ShardDataset(opened, split, chosen).codecs
    input_codec, is_image = _input_codec(args, names[0], codecs[names[0]])
    target_codec, task = _target_codec(args, names[1], codecs[names[1]])
    return _Fields(chosen, {names[0]: input_codec, names[1]: target_codec}, task, is_image)


def _input_codec(args: ShardsDataArgs, field: str, codec: Codec) -> tuple[Codec, bool]:
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


def _target_codec(args: ShardsDataArgs, field: str, codec: Codec) -> tuple[Codec, "Task"]:
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


def _samples(args: ShardsDataArgs, opened: Opened, split: str, fields: _Fields) -> ShardSamples:
    shards = ShardDataset(opened, split, fields.names, codecs=fields.codecs, verify=args.verify)
    if len(shards) == 0:
        raise ShardError(f"{opened.directory}: the split {split!r} is empty")
    groups = None if args.group is None else _groups(shards, args.group)
    return ShardSamples(shards, is_image=fields.is_image, task=fields.task, groups=groups)


def _groups(shards: ShardDataset, separator: str) -> np.ndarray:
    """Of each sample, what its key begins with."""
    keys = shards.subset(range(len(shards))).keys
    for key in keys:
        if separator not in key:
            raise ShardError(f"--dataset.group: the key {key!r} has no {separator!r} to be cut at")
    return np.array([key.rpartition(separator)[0] for key in keys])


def _look_at(train: ShardSamples, seed: int) -> tuple[Tensor, Tensor]:
    """Inputs and targets of some samples as they are stored, drawn by `seed`."""
    order = np.random.Generator(np.random.PCG64([seed, _LOOK_STREAM])).random(len(train))
    inputs, targets = _stored(train, np.sort(np.argsort(order, kind="stable")[:_NUM_LOOKED_AT]))
    if train.task == "segmentation" and train.is_image and targets.shape[1:] != inputs.shape[-2:]:
        sizes = [list(values.shape[-2:]) for values in (inputs, targets)]
        raise ShardError(f"{train.source}: images are {sizes[0]} and their masks {sizes[1]}")
    return inputs, targets


def _stored(samples: ShardSamples, positions: np.ndarray) -> tuple[Tensor, Tensor]:
    batch = samples.gather(positions)
    return cast(Tensor, batch["input"]), cast(Tensor, batch["target"])


def _class_names(opened: Opened, field: str) -> tuple[str, ...]:
    """From the metadata, where they may be said by field."""
    names = opened.metadata.get("class_names", [])
    if isinstance(names, dict):
        names = names.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ShardError(f"{opened.directory}: class_names in the metadata is no list of names")
    return tuple(names)


def _num_outputs(args: ShardsDataArgs, opened: Opened, train: ShardSamples, class_names: tuple[str, ...]) -> int:
    """The number of classes; 0 where the targets are none."""
    if train.task == "regression":
        if args.num_classes is not None:
            raise ShardError("--dataset.num_classes: the targets are numbers, not classes")
        return 0
    known = args.num_classes or len(class_names)
    if class_names and known != len(class_names):
        raise ShardError(
            f"--dataset.num_classes={known}, and the metadata of {opened.directory} names {len(class_names)}"
        )
    if known:
        return known
    if train.task == "classification":
        return int(np.max(train.labels())) + 1
    if len(train) > _MOST_MASKS:
        raise ShardError(f"{opened.directory} does not say how many classes its masks have; pass --dataset.num_classes")
    batches = np.array_split(np.arange(len(train)), -(-len(train) // _AT_ONCE))
    return 1 + max(int(_stored(train, positions)[1].max()) for positions in batches)


def _num_columns(target: Tensor) -> int:
    return 1 if target.ndim == 1 else target.shape[1]


def _scaling(opened: Opened) -> tuple[float, float] | None:
    """What the metadata says, in stored units; None: it does not."""
    mean, std = opened.metadata.get("mean"), opened.metadata.get("std")
    if not isinstance(mean, int | float) or not isinstance(std, int | float) or not std > 0:
        return None
    return float(mean), float(std)


def _measured(inputs: Tensor) -> tuple[float, float]:
    """Mean and deviation of images and other whole numbers; real ones stay as they are."""
    if inputs.is_floating_point():
        return 0.0, 1.0
    values = inputs.double()
    return float(values.mean()), max(float(values.std(correction=0)), 1.0)
