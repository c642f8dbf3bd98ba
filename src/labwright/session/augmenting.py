"""How training batches are changed as a field `augment: AugmentArgs` says: what fits the data, and what is drawn."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from labwright.args import ExperimentArgs, UserError
from labwright.datasets import (
    AugmentArgs,
    Augmentation,
    Dataset,
    DatasetView,
    Draws,
    Levels,
    MappedDataset,
    Splits,
    get_sample,
)
from labwright.datasets.provenance import unfold
from labwright.train import Batch, derive_seed

if TYPE_CHECKING:
    from labwright.experiment import Experiment


def build_augmentation(experiment: "Experiment[ExperimentArgs]") -> Augmentation | None:
    """What `args.augment` asks for; None: nothing.

    Raises:
        UserError: it does not fit the training data.
    """
    part: AugmentArgs | None = getattr(experiment.args, "augment", None)
    augmentation = None if part is None else part.build()
    if part is None or augmentation is None:
        return None
    splits = experiment.splits
    if len(splits.input_shape) != 3:
        raise UserError(
            f"--augment changes images [channels, height, width]; the inputs of {splits.name} are "
            f"{list(splits.input_shape)}"
        )
    height, width = splits.input_shape[1:]
    if part.crop_padding > min(height, width):
        raise UserError(
            f"--augment.crop_padding={part.crop_padding} would move images of {splits.name} out of sight: they are "
            f"{height} x {width}"
        )
    _refuse_targets(part, splits)
    if augmentation.needs_levels:
        _refuse_channels(part, splits)
        augmentation.levels = augmentation.levels or _levels(splits.train, splits.name)
    return augmentation


def augmented(experiment: "Experiment[ExperimentArgs]", augmentation: Augmentation, batch: Batch) -> Batch:
    """The batch with its images changed, its masks moved with them, and pairs of samples mixed.

    Where pairs are mixed, `target` is float [samples, classes], and `hard_target` the class with the larger share.
    """
    draws = draws_for(experiment, batch)
    batch["input"] = augmentation(batch["input"], draws)
    if experiment.splits.task == "segmentation":
        batch["target"] = augmentation.masks(batch["target"], draws)
    if augmentation.mixing is not None:
        mixed, soft = augmentation.mixing(batch["input"], batch["target"], experiment.splits.num_outputs, draws)
        batch |= {"input": mixed, "target": soft, "hard_target": soft.argmax(1)}
    return batch


def draws_for(experiment: "Experiment[ExperimentArgs]", batch: Batch) -> Draws:
    """The random numbers of a batch's samples: they follow from seed, epoch, and each one's `source` and `index`."""
    if "index" not in batch:
        raise UserError("random numbers of samples follow from their `index`, which the batches of this loader lack")
    index = torch.as_tensor(batch["index"], device=experiment.device)
    sources: list[str] = batch.get("source") or [experiment.dataset_name]
    seeds = {name: derive_seed(experiment.args.seed, "augment", name, experiment.epoch) for name in set(sources)}
    if len(seeds) == 1:
        return Draws(seeds[sources[0]], index)
    return Draws(torch.tensor([seeds[name] for name in sources], device=index.device), index)


def _refuse_targets(part: AugmentArgs, splits: Splits) -> None:
    """Classes may be mixed, masks moved; other targets that go with the places in an image would stay behind."""
    mixes = part.mixup_alpha or part.cutmix_alpha
    if mixes and (splits.task != "classification" or splits.num_outputs < 2):
        task = "data without a task" if splits.task is None else f"a {splits.task}"
        outputs = f" with {splits.num_outputs} outputs" if splits.task == "classification" else ""
        raise UserError(
            f"--augment.mixup_alpha and --augment.cutmix_alpha mix classes; {splits.name} is {task}{outputs}"
        )
    last = max(1, splits.num_outputs - 1)  # two classes may have a single output
    if splits.task == "segmentation" and splits.num_outputs and not 0 <= part.mask_fill <= last:
        raise UserError(f"--augment.mask_fill={part.mask_fill} is no class of {splits.name}, which has 0 to {last}")
    for name, dataset in splits.train.items():
        target = get_sample(dataset, 0).get("target")
        shape = list(target.shape) if isinstance(target, Tensor) else []
        if splits.task == "segmentation":
            if part.torchvision is not None:
                raise UserError(f"--augment.torchvision={part.torchvision} would move the images without their masks")
            if shape != list(splits.input_shape[1:]):
                raise UserError(
                    f"--augment moves masks [height, width] with their images; those of {name} are {shape}, the "
                    f"images {list(splits.input_shape)}; such targets need an augment_batch() of their own"
                )
        elif len(shape) > 1:
            raise UserError(
                f"--augment changes the input alone, and the targets of {name} are {shape}: such targets need an "
                "augment_batch() of their own"
            )


def _refuse_channels(part: AugmentArgs, splits: Splits) -> None:
    num_channels = splits.input_shape[0]
    if num_channels not in (1, 3):
        raise UserError(
            f"--augment changes the colours of grey and of coloured images; {splits.name} has {num_channels} channels"
        )
    for flag in ("saturation", "hue"):
        if num_channels == 1 and getattr(part, flag):
            raise UserError(f"--augment.{flag} changes colours, and the images of {splits.name} are grey; leave it out")


def _levels(sets: Mapping[str, Dataset], title: str) -> Levels | None:
    """Black and white in all training sets; None: they are bytes."""
    found = {_levels_of(dataset) for dataset in sets.values()}
    if len(found) == 1 and (levels := found.pop()) is not None:
        return levels
    if all(get_sample(dataset, 0)["input"].dtype == torch.uint8 for dataset in sets.values()):
        return None
    raise UserError(
        f"what black and white are in the inputs of {title} is not known, and --augment changes their colours; say it "
        'with --augment.value_range, for example "[0, 1]"'
    )


def _levels_of(dataset: Any) -> Levels | None:
    while isinstance(dataset, DatasetView):
        dataset = dataset.dataset
    if isinstance(dataset, MappedDataset):
        return None
    if hasattr(dataset, "mean"):
        return _stored_levels(dataset)
    found = {_stored_levels(part.dataset) for part in unfold(dataset)}
    return found.pop() if len(found) == 1 else None


def _stored_levels(dataset: Any) -> Levels | None:
    """Of what is stored, standardized: 0 and the largest number of the dtype, in memory the least and the largest."""
    if not all(hasattr(dataset, name) for name in ("gather", "mean", "std")):
        return None
    in_memory = getattr(dataset, "inputs", None)
    stored: Tensor = in_memory if isinstance(in_memory, Tensor) else dataset.gather([0])["input"]
    if isinstance(in_memory, Tensor):
        black, white = float(stored.min()) if stored.is_floating_point() else 0.0, float(stored.max())
    elif stored.dtype in (torch.uint8, torch.uint16):
        black, white = 0.0, float(torch.iinfo(stored.dtype).max)
    else:
        return None
    mean, std = (torch.as_tensor(each, dtype=torch.float64).flatten() for each in (dataset.mean, dataset.std))
    return Levels(*(tuple(((level - mean) / std).tolist()) for level in (black, white))) if black < white else None
