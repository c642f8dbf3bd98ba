"""How many classes the targets of shards have, what they are called, and what is odd about them."""

from collections.abc import Collection, Mapping
from typing import cast

import numpy as np
from torch import Tensor

from labwright.args.wording import listed
from labwright.shards import Opened, ShardError

from .args import ShardsDataArgs
from .shard_samples import ShardSamples

_MOST_MASKS = 20_000
"""More than these are not opened only to count their classes."""
_MOST_NAMED = 5
_AT_ONCE = 64


def class_names_of(opened: Opened, field: str) -> tuple[str, ...]:
    """From the metadata, where they may be said by field."""
    names = opened.metadata.get("class_names", [])
    if isinstance(names, dict):
        names = names.get(field, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ShardError(f"{opened.directory}: class_names in the metadata is no list of names")
    return tuple(names)


def count_classes(
    args: ShardsDataArgs, opened: Opened, parts: Mapping[str, ShardSamples], class_names: tuple[str, ...]
) -> int:
    """The number of classes, all of which are among them; 0 where the targets are none."""
    train = parts["train"]
    if train.task == "regression":
        if args.num_classes is not None:
            raise ShardError("--dataset.num_classes: the targets are numbers, not classes")
        return 0
    known = args.num_classes or len(class_names)
    if class_names and known != len(class_names):
        raise ShardError(
            f"--dataset.num_classes={known}, and the metadata of {opened.directory} names {len(class_names)}"
        )
    if train.task == "segmentation":
        return known or _num_classes_of_masks(parts.values(), opened)
    num_classes = known or _num_classes(parts.values(), opened)
    highest = max(int(np.max(part.labels())) for part in parts.values())
    advice = ""
    if highest >= num_classes:
        names = f"; class_names in the metadata has {len(class_names)}, and classes go up to {highest}"
        advice = names if class_names else f"; pass --dataset.num_classes={highest + 1}"
    for part in parts.values():
        part.check_labels(num_classes, advice)
    return num_classes


def warn_of_classes(args: ShardsDataArgs, parts: Mapping[str, ShardSamples], class_names: tuple[str, ...]) -> list[str]:
    """Lines about one class alone, and about classes counted that there is no sample of."""
    if parts["train"].task != "classification":
        return []
    found = np.unique(np.concatenate([np.asarray(part.labels()) for part in parts.values()]))
    if len(found) == 1:
        return [f"all samples are of class {found[0]}, and there is nothing to tell it from."]
    if class_names or args.num_classes or len(found) == found[-1] + 1:
        return []
    missing = np.setdiff1d(np.arange(found[-1]), found)
    return [f"classes go up to {found[-1]}, and there is no sample of class {listed(map(str, missing), _MOST_NAMED)}."]


def _num_classes(parts: Collection[ShardSamples], opened: Opened) -> int:
    """Counted in all splits: a class that none but the validation set has is one, too."""
    found = [int(np.max(part.labels())) + 1 for part in parts]
    num_samples = sum(map(len, parts))
    if max(found) > num_samples:
        raise ShardError(
            f"{opened.directory} has {num_samples:,} samples with classes up to {max(found) - 1}, which may be no "
            "classes; if they are, pass --dataset.num_classes"
        )
    return max(1, *found)


def _num_classes_of_masks(parts: Collection[ShardSamples], opened: Opened) -> int:
    if sum(map(len, parts)) > _MOST_MASKS:
        raise ShardError(f"{opened.directory} does not say how many classes its masks have; pass --dataset.num_classes")
    starts = ((part, start) for part in parts for start in range(0, len(part), _AT_ONCE))
    batches = (part.gather(np.arange(start, min(len(part), start + _AT_ONCE))) for part, start in starts)
    return 1 + max(int(cast(Tensor, batch["target"]).max()) for batch in batches)
