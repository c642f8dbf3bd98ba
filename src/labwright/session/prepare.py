"""Everything that can be refused, before anything is written: data, parts, names, folders, packages."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from labwright.args import ExperimentArgs, RunOptions, UserError
from labwright.datasets import Splits
from labwright.runs import check_writable, resolve_checkpoint, run_parent, split_metric_name

if TYPE_CHECKING:
    from labwright.experiment import Experiment
    from labwright.train import Loader


@dataclass(frozen=True)
class Prepared:
    """What a session trains with."""

    train: Mapping[str, "Loader"]
    val: Mapping[str, "Loader"]
    test: Mapping[str, "Loader"]
    warnings: list[str]


def prepare(experiment: "Experiment[ExperimentArgs]", options: RunOptions) -> Prepared:
    """Build the experiment's parts and check that they fit together; nothing is written but the datasets' cache.

    Raises:
        UserError: something does not fit.
    """
    from labwright.train import choose_device, seed_everything

    args, machine = experiment.args, experiment.machine
    if options.only_test and args.from_checkpoint is None:
        raise UserError("--only_test needs the weights to test: add --from_checkpoint=PATH (a file or a run directory)")
    check_writable(run_parent(machine.results_dir, args.experiment_id, options.results_subdir))
    experiment.device = choose_device(machine.use_cuda)
    seed_everything(args.seed)
    warnings = _prepare_data(experiment, options)
    splits = experiment.splits
    if options.only_test and not splits.test:
        raise UserError(f"--only_test: {splits.name} has no test set")
    seed_everything(args.seed)  # the weights do not depend on what the data needed randomness for
    experiment.model = experiment.build_model()
    _load_weights(experiment)
    experiment.model.to(experiment.device)
    experiment.best_metric = _best_metric(experiment)
    if experiment.best_metric is None and not options.only_test and args.epochs:
        warnings.append("no validation set: the last epoch's weights are kept")
    loaders = {
        name: {key: experiment.build_loader(dataset, key, training=name == "train") for key, dataset in sets.items()}
        for name, sets in (("train", splits.train), ("val", splits.val), ("test", splits.test))
    }
    if args.epochs and not options.only_test:
        _refuse_lone_samples(experiment, loaders["train"])
    experiment.optimizer = experiment.build_optimizer()
    steps_per_epoch = sum(loader.num_batches for loader in loaders["train"].values())
    experiment.scheduler = experiment.build_scheduler(args.epochs, steps_per_epoch)
    return Prepared(loaders["train"], loaders["val"], loaders["test"], warnings)


def _prepare_data(experiment: "Experiment[ExperimentArgs]", options: RunOptions) -> list[str]:
    from labwright.datasets import check_overlap, limit

    splits = experiment.build_datasets()
    _check_names(splits)
    warnings = [*splits.warnings, *check_overlap(splits, options.overlap)]
    num_samples = experiment.args.limit_train_samples
    if num_samples is not None:
        train = {name: limit(dataset, num_samples) for name, dataset in splits.train.items()}
        splits = replace(splits, train=train)
    experiment.splits = splits
    _check_noise(experiment)
    return warnings


def _check_names(splits: Splits) -> None:
    names = [name for sets in (splits.train, splits.val, splits.test) for name in sets]
    for name in names:
        if names.count(name) > 1:
            raise UserError(f"two datasets are called {name!r}; each needs a name of its own")
        if not re.fullmatch(r"\w[\w.-]*", name):
            raise UserError(f"a dataset is called {name!r}; its name names files: letters, digits, _, . and - only")
    if not splits.train:
        raise UserError(f"{splits.name}: there is no training set")


def _refuse_lone_samples(experiment: "Experiment[ExperimentArgs]", loaders: Mapping[str, "Loader"]) -> None:
    """A batch of one has no variance to normalize by: torch would stop in the middle of the first epoch."""
    from torch.nn.modules.batchnorm import _BatchNorm

    if not any(isinstance(module, _BatchNorm) for module in experiment.model.modules()):
        return
    for name, loader in loaders.items():
        if loader.batch_size == 1 or loader.num_samples % loader.batch_size == 1:
            raise UserError(
                f"batch normalization needs two samples in every batch, but with --batch_size={loader.batch_size} the "
                f"last of the {loader.num_samples:,} samples of {name} stands alone; choose another --batch_size"
            )


def _check_noise(experiment: "Experiment[ExperimentArgs]") -> None:
    from labwright.datasets import get_sample

    args = experiment.args
    if not args.white_noise_sd and not args.constant_offset_sd:
        return
    for name, dataset in experiment.splits.train.items():
        inputs = get_sample(dataset, 0)["input"]
        if not inputs.is_floating_point():
            raise UserError(
                f"--white_noise_sd and --constant_offset_sd need real inputs; those of {name} are {inputs.dtype}"
            )


def _load_weights(experiment: "Experiment[ExperimentArgs]") -> None:
    from labwright.train import load_from_checkpoint

    spec = experiment.args.from_checkpoint
    if spec is None:
        return
    try:
        load_from_checkpoint(experiment.model, spec, lambda text: resolve_checkpoint(Path(text)))
    except UserError as error:
        args_file = Path(spec) / "args.yaml" if isinstance(spec, str) else None
        if args_file is None or not args_file.is_file():
            raise
        raise UserError(f"{error}; for the model of that run add --config={args_file}") from error


def _best_metric(experiment: "Experiment[ExperimentArgs]") -> tuple[str, bool] | None:
    """Full name of the deciding metric and whether lower is better; None where there is no validation set."""
    args, splits = experiment.args, experiment.splits
    metrics = {"loss": True} | {metric.name: not metric.higher_is_better for metric in experiment.build_metrics()}
    name = args.best_model_metric
    if "/" not in name and not splits.val:
        if name not in metrics:
            raise UserError(f"--best_model_metric: {name!r} is not measured; known: {', '.join(metrics)}")
        if args.early_stopping_patience is not None:
            raise UserError("--early_stopping_patience needs a validation set; raise --val_fraction or leave it out")
        return None
    split, metric = split_metric_name(name)
    known = [f"{split}/{metric}" for split in (*splits.val, *splits.train) for metric in metrics]
    if f"{split}/{metric}" not in known:
        raise UserError(f"--best_model_metric: {name!r} is not measured; known: {', '.join(known)}")
    minimize = args.minimize_best_model_metric
    return f"{split}/{metric}", metrics[metric] if minimize is None else minimize
