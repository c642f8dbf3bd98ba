"""Shards as a dataset part: which field is the input and which the target, what is held out, how inputs are scaled."""

import os
from pathlib import Path
from typing import cast

import numpy as np
from torch import Tensor

from labwright.args.wording import listed
from labwright.shards import Opened, ShardDataset, ShardError, open_dataset

from .args import ShardsDataArgs
from .images import open_images
from .shard_classes import class_names_of, count_classes, warn_of_classes
from .shard_fields import ChosenFields, choose_fields
from .shard_samples import ShardSamples
from .splits import SPLIT_NAMES, Dataset, Splits, fractions_in_vain, hold_out

_LOOK_STREAM = int.from_bytes(b"look")
_NUM_LOOKED_AT = 256
"""Inputs that tell the mean and deviation of all: a tenth of a second of photographs."""


def build_shards(args: ShardsDataArgs) -> Splits:
    """The stored splits as they are; a missing validation or test set is held out of the training set."""
    opened = open_dataset(args.path.expanduser())
    stored, warnings = _stored_splits(opened)
    fields = choose_fields(args, opened, stored["train"])
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
    class_names = () if fields.task == "regression" else class_names_of(opened, fields.names["target"])
    num_outputs = count_classes(args, opened, parts, class_names) or _num_columns(targets)
    warnings = (*warnings, *fractions_in_vain(args, stored), *warn_of_classes(args, parts, class_names))
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
        name=Path(os.path.abspath(args.path.expanduser())).name,
        task=fields.task,
        num_outputs=num_outputs,
        class_names=class_names,
        is_image=fields.is_image,
        warnings=(*opened.notes, *warnings),
        fingerprint=opened.fingerprint,
    )


def open_shard_inputs(args: ShardsDataArgs, path: Path, splits: Splits) -> Dataset:
    """Inputs to predict: of other shards with the same input field, or the images in a folder, or one image.

    `path` may also be one split of shards that have several: their directory, and its name.
    """
    path = path.expanduser()
    is_split = not path.suffix and not path.exists() and path.parent.is_dir() and _are_shards(path.parent)
    if not (is_split or _are_shards(path)):
        if not path.exists():
            raise ShardError(f"{path} does not exist; name shards, an image, or a folder of images")
        return open_images(path, splits, crop=args.image_size is not None)
    (like,) = splits.train.values()
    assert isinstance(like, ShardSamples)
    opened = open_dataset(path.parent if is_split else path)
    if not is_split and len(opened.splits) != 1:
        raise ShardError(f"{path} has the splits {listed(opened.splits)}; name one, such as {path}/{opened.splits[-1]}")
    split = path.name if is_split else opened.splits[0]
    field = like.shards.fields["input"]
    shards = ShardDataset(
        opened, split, {"input": field}, codecs={field: like.shards.codecs[field]}, verify=args.verify
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


def _samples(args: ShardsDataArgs, opened: Opened, split: str, fields: ChosenFields) -> ShardSamples:
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
