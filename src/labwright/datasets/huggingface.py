"""Hugging Face `datasets` objects as splits. They are held in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from labwright.args import UserError

from .args import HuggingFaceDataArgs
from .splits import SPLIT_NAMES, Splits, fingerprint, fractions_in_vain, hold_out
from .tensor import TensorDataset

if TYPE_CHECKING:
    from datasets import Dataset, DatasetDict


def build_huggingface(args: HuggingFaceDataArgs) -> Splits:
    """What `save_to_disk` wrote, as splits."""
    try:
        from datasets import load_from_disk
    except ImportError as error:
        raise UserError('this dataset needs Hugging Face datasets: pip install "labwright[huggingface]"') from error
    path = args.path.expanduser()
    try:
        stored = load_from_disk(str(path))
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"{path} is not a directory that save_to_disk wrote: {reason}") from error
    splits = from_huggingface(
        stored,
        input=args.input,
        target=args.target,
        name=path.name,
        val_fraction=args.val_fraction,
        test_fraction=args.test_fraction,
        split_seed=args.split_seed,
    )
    return replace(splits, warnings=fractions_in_vain(args, _named_splits(stored)))


def from_huggingface(
    data: "Dataset | DatasetDict",
    *,
    input: str | Sequence[str],
    target: str,
    name: str = "Hugging Face dataset",
    val_fraction: float = 0.1,
    test_fraction: float = 0.2,
    split_seed: int = 0,
) -> Splits:
    """Splits of a Hugging Face dataset, or of a dict of them.

    Stored validation and test sets are used as they are; a missing one is held out of the training set. Images
    become uint8 [channels, height, width], numbers and vectors float32. Integer, text and ClassLabel targets are
    classes; floats are a regression.
    """
    columns = [input] if isinstance(input, str) else list(input)
    stored = _named_splits(data)
    for split, dataset in stored.items():
        for column in (*columns, target):
            if column not in dataset.column_names:
                raise UserError(f"{name}, {split}: no column {column!r}; it has {', '.join(dataset.column_names)}")
        if len(dataset) == 0:
            raise UserError(f"{name}, {split} is empty")
    inputs = {split: _inputs(dataset, columns, where=f"{name}, {split}") for split, dataset in stored.items()}
    targets, class_names = _targets(stored, target, name)
    is_image = inputs["train"].dtype == torch.uint8
    mean, std = _pixel_statistics(inputs["train"]) if is_image else (0.0, 1.0)
    parts = {
        split: TensorDataset(inputs[split], targets[split], source=f"{name}/{split}", mean=mean, std=std)
        for split in stored
    }
    train_indices, val_indices, test_indices = hold_out(
        targets["train"].numpy() if class_names else len(targets["train"]),
        val_fraction=0 if "val" in parts else val_fraction,
        test_fraction=0 if "test" in parts else test_fraction,
        seed=split_seed,
    )
    train = parts["train"]
    val = parts.get("val", train.subset(val_indices))
    test = parts.get("test", train.subset(test_indices))
    return Splits(
        train={"train": train.subset(train_indices)},
        val={"val": val} if len(val) else {},
        test={"test": test} if len(test) else {},
        name=name,
        task="classification" if class_names else "regression",
        num_outputs=len(class_names) or targets["train"].shape[1],
        class_names=class_names,
        is_image=is_image,
        fingerprint=fingerprint(
            *(array for split in stored for array in (split, inputs[split].numpy(), targets[split].numpy()))
        ),
    )


def _named_splits(data: Any) -> "dict[str, Dataset]":
    """The stored datasets under the names train, val and test."""
    if not isinstance(data, Mapping):
        return {"train": data}
    named: dict[str, Dataset] = {}
    for stored_name, dataset in data.items():
        split = SPLIT_NAMES.get(stored_name)
        if split is None or split in named:
            raise UserError(
                f"cannot tell what the split {stored_name!r} is for; use one each of train, validation and test"
            )
        named[split] = dataset
    if "train" not in named:
        raise UserError(f"there is no split named train; found {', '.join(data)}")
    return named


def _inputs(dataset: "Dataset", columns: list[str], *, where: str) -> Tensor:
    """One column of images or vectors, or several columns of numbers side by side."""
    blocks: list[np.ndarray] = []
    for column in columns:
        values = [_array(value, f"{where}, column {column!r}") for value in dataset[column][:]]
        shapes = {value.shape for value in values}
        if len(shapes) > 1:
            raise UserError(
                f"{where}, column {column!r}: sizes differ, for example {' and '.join(map(str, sorted(shapes)[:2]))}"
            )
        blocks.append(np.stack(values))
    if len(blocks) == 1 and blocks[0].dtype == np.uint8 and blocks[0].ndim in (3, 4):
        images = blocks[0][:, None] if blocks[0].ndim == 3 else blocks[0].transpose(0, 3, 1, 2)
        return torch.from_numpy(np.ascontiguousarray(images))
    features = [block.reshape(len(block), -1) for block in blocks] if len(blocks) > 1 or blocks[0].ndim == 1 else blocks
    return torch.from_numpy(np.concatenate(features, axis=1).astype(np.float32))


def _array(value: Any, where: str) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "buif" or not np.isfinite(array).all():
        raise UserError(f"{where}: {str(value)[:40]!r} is not an image, a finite number or a list of them")
    return array


def _targets(stored: "dict[str, Dataset]", column: str, name: str) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """The targets of every split, and the class names (none for a regression)."""
    values = {split: np.asarray(dataset[column][:]) for split, dataset in stored.items()}
    kinds = {array.dtype.kind for array in values.values()}
    if kinds == {"f"}:
        if not all(np.isfinite(array).all() for array in values.values()):
            raise UserError(f"{name}: the target {column!r} has values that are not finite numbers")
        return {split: torch.from_numpy(a.reshape(len(a), -1)).float() for split, a in values.items()}, ()
    if not kinds <= set("biuU") or any(array.ndim != 1 for array in values.values()):
        raise UserError(f"{name}: the target {column!r} is neither classes nor numbers")
    known: Sequence[str] | None = getattr(stored["train"].features[column], "names", None)
    if known:
        if any(int(array.min()) < 0 for array in values.values()):
            raise UserError(f"{name}: the target {column!r} has samples without a label (-1)")
        return {split: torch.from_numpy(array.astype(np.int64)) for split, array in values.items()}, tuple(known)
    classes, positions = np.unique(np.concatenate(list(values.values())), return_inverse=True)
    if len(classes) < 2:
        raise UserError(f"{name}: the target {column!r} has one class only, {classes[0]!r}")
    ends = np.cumsum([len(array) for array in values.values()])[:-1]
    parts = np.split(positions.astype(np.int64), ends)
    return {split: torch.from_numpy(part) for split, part in zip(values, parts, strict=True)}, tuple(map(str, classes))


def _pixel_statistics(images: Tensor) -> tuple[float, float]:
    """Mean and deviation of all pixels, from their counts: no float copy of the images."""
    counts = torch.bincount(images.flatten(), minlength=256).double()
    levels = torch.arange(256, dtype=torch.float64)
    mean = (counts * levels).sum() / counts.sum()
    variance = (counts * (levels - mean) ** 2).sum() / counts.sum()
    return float(mean), max(float(variance.sqrt()), 1.0)
