"""The parts of a PyTorch experiment, built in order and checked against each other."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs, UserError
from labwright.args.options import DEBUG_BATCHES
from labwright.args.wording import listed, one_line
from labwright.datasets import Dataset, get_sample, limit
from labwright.metrics import GROUPS, check_state
from labwright.runs import resolve_checkpoint
from labwright.train import (
    EMA,
    Loader,
    Placement,
    Stepper,
    load_from_checkpoint,
    rng_state,
    seed_everything,
    state_of,
)
from labwright.train.system_memory import is_out_of_memory

from .acceleration import accelerate
from .augmenting import build_augmentation
from .shared_state import load_optimizer, load_weights, optimizer_states, restored, share_out_optimizers
from .startup import MODEL, mark
from .strategies import agree_on_steps, build_parallel, device_of, rng_of_ranks, rng_of_this_rank, share_loaders

if TYPE_CHECKING:
    from torch import nn

    from labwright.experiment import Experiment


_GROUPS_OF_TASK = {
    "classification": ("binary_classification", "multiclass_classification"),
    "regression": ("regression", "image_reconstruction"),
    "segmentation": ("segmentation",),
}
"""The groups of metrics that read what a task's loss gives."""


def build_torch_parts(experiment: "Experiment[ExperimentArgs]") -> None:
    """Device, data, model, loaders, optimizers, schedulers, stepper.

    Raises:
        UserError: they do not fit together.
    """
    args, options = experiment.args, experiment.options
    trains = options.stage == "train" and experiment.num_epochs > 0
    if options.stage != "train" and args.from_checkpoint is None:
        flag = "--only_test" if options.only_test else f"--mode={options.stage}"
        raise UserError(f"{flag} needs weights: add --from_checkpoint=PATH (a file or a run directory)")
    _refuse_threshold(experiment)
    _refuse_task_without_loss(experiment)
    _refuse_metrics_of_other_tasks(experiment)
    for metric in experiment.build_metrics():
        check_state(metric)
    experiment.device = device_of(experiment)
    _limit_data(experiment)
    if trains and not experiment.splits.train:
        raise UserError(f"{experiment.splits.name}: there is no training set")
    seed_everything(args.seed)
    _build_model(experiment)
    accelerate(experiment)
    experiment.world.refuse_so_far()  # the next one talks to the others, and gives up on those who are long in coming
    experiment.parallel_model = build_parallel(experiment)
    on_device: Any = getattr(getattr(args, "dataset", None), "on_device", "auto")
    experiment.augmentation = build_augmentation(experiment) if trains else None
    experiment.placement = Placement(experiment.device, on_device)
    if on_device is True and experiment.device.type == "cpu":
        experiment.warnings.append("--dataset.on_device=true has no effect on the CPU: data is in its memory already")
    experiment.build_loaders()
    share_loaders(experiment)
    train = {name: experiment.loaders[name] for name in experiment.splits.train}
    if trains:
        refuse_lone_samples(experiment, train)
    mark(experiment, MODEL)
    _build_stepper(experiment, train)


def _build_model(experiment: "Experiment[ExperimentArgs]") -> None:
    """The model on its device, with the weights of `from_checkpoint`."""
    try:
        experiment.model = experiment.build_model()
        _load_weights(experiment)
        experiment.model.to(experiment.device)
    except Exception as error:
        if is_out_of_memory(error):
            said = str(error).rpartition("Allocator: ")[2]  # without the place in the source of torch
            why = one_line(said or type(error).__name__)  # Python's own has no words
            raise UserError(f"the model does not fit into memory; make it smaller ({why})") from error
        raise


def _build_stepper(experiment: "Experiment[ExperimentArgs]", train: Mapping[str, Any]) -> None:
    args = experiment.args
    experiment.log_every_n_steps = experiment.options.log_every_n_steps
    experiment.optimizers = experiment.build_optimizers()
    if experiment.num_epochs and experiment.options.stage == "train" and not experiment.optimizers:
        raise UserError("build_optimizers() gives no optimizer to train with; --epochs=0 evaluates only")
    _note_fused(experiment)
    share_out_optimizers(experiment)
    steps_per_epoch = sum(-(-len(loader) // args.accumulate_batches) for loader in train.values())
    experiment.schedulers = experiment.build_schedulers(experiment.num_epochs, steps_per_epoch)
    experiment.ema = None
    if args.ema_decay is not None:
        experiment.ema = EMA(
            experiment.model,
            decay=args.ema_decay,
            warmup_steps=args.ema_warmup_steps,
            every_n_steps=args.ema_every_n_steps,
        )
    experiment.fingerprinter = experiment.rng_before = None
    experiment.stepper = Stepper(
        device=experiment.device,
        precision=args.precision,
        accumulate_batches=args.accumulate_batches,
        max_norm=args.gradient_clipping,
        max_value=args.gradient_clipping_value,
        max_skipped_steps=args.max_skipped_steps,
    )
    agree_on_steps(experiment)
    for name, optimizer in experiment.optimizers.items():
        is_first = optimizer is experiment.optimizer
        experiment.stepper.attach(
            optimizer,
            scheduler=experiment.schedulers.get(name) if experiment.scheduler_interval == "step" else None,
            ema=experiment.ema if is_first else None,
        )


def _refuse_task_without_loss(experiment: "Experiment[ExperimentArgs]") -> None:
    """Where the stock step would ask the stock loss for one that there is not."""
    splits, kind = experiment.splits, type(experiment)
    is_stock = all(getattr(kind, name).__module__ == "labwright.experiment" for name in ("compute_loss", "train_batch"))
    if is_stock and splits.task == "segmentation":
        raise UserError(
            f"{splits.name} is a segmentation, and {experiment.args.experiment_id or kind.__name__} has no loss for "
            "one: give it a compute_loss() of its own, or choose another experiment or dataset"
        )


def _refuse_metrics_of_other_tasks(experiment: "Experiment[ExperimentArgs]") -> None:
    """They would fail at the first batch, where the outputs are the usual ones."""
    splits, chosen = experiment.splits, experiment.args.metrics
    if splits.task is None or experiment.args.metric_inputs:
        return
    fitting = list(_GROUPS_OF_TASK[splits.task])
    if splits.num_outputs > 2 and "binary_classification" in fitting:
        fitting.remove("binary_classification")
    for group in chosen:
        if group in GROUPS and group not in fitting:
            raise UserError(
                f"--metrics: {group} does not fit {splits.name}, a {splits.task} with {splits.num_outputs} outputs; "
                f"{' or '.join(fitting)} does, or say with --metric_inputs what it reads"
            )


def _refuse_threshold(experiment: "Experiment[ExperimentArgs]") -> None:
    """A threshold belongs to two classes, and is chosen on validation sets that may decide."""
    splits = experiment.splits
    if experiment.args.threshold_metric is None:
        return
    if splits.task != "classification" or splits.num_outputs not in (1, 2):
        raise UserError(
            f"--threshold_metric: {splits.name} is no classification into two classes, there is no threshold to choose"
        )
    if not splits.deciding_val:
        raise UserError("--threshold_metric needs a validation set to choose the threshold on")


def _limit_data(experiment: "Experiment[ExperimentArgs]") -> None:
    """Keep as many samples as are asked for."""
    args, options, splits = experiment.args, experiment.options, experiment.splits
    train = splits.train
    if args.limit_train_samples is not None:
        train = _limited(train, args.limit_train_samples)
    splits = replace(splits, train=train)
    if options.debug:
        most = DEBUG_BATCHES * args.batch_size
        splits = replace(
            splits, train=_limited(train, most), val=_limited(splits.val, most), test=_limited(splits.test, most)
        )
    experiment.splits = splits
    _check_noise(experiment)
    experiment.take_inputs()


def _limited(sets: Mapping[str, Dataset], num_samples: int) -> dict[str, Dataset]:
    return {name: limit(dataset, num_samples) for name, dataset in sets.items()}


def refuse_lone_samples(experiment: "Experiment[ExperimentArgs]", loaders: Mapping[str, Any]) -> None:
    """A batch of one has no variance to normalize by: torch would stop in the middle of the first epoch."""
    from torch.nn.modules.batchnorm import _BatchNorm

    num_ranks = experiment.world.size
    if not any(isinstance(module, _BatchNorm) for module in experiment.model.modules()):
        return
    is_synced = num_ranks > 1 and experiment.args.sync_batchnorm
    for name, loader in loaders.items():
        if not isinstance(loader, Loader):
            continue  # of one's own: whoever builds it knows its batches
        last = loader.num_samples % loader.batch_size or loader.batch_size
        if is_synced and last < num_ranks:
            raise UserError(
                f"--sync_batchnorm needs a sample on each of {num_ranks} ranks in every batch, but with --batch_size="
                f"{loader.batch_size} the last of {name} has {last}; choose another --batch_size"
            )
        if not is_synced and min(last, loader.batch_size) // num_ranks < 2:
            of_rank = f" on each of {num_ranks} ranks" if num_ranks > 1 else ""
            raise UserError(
                f"batch normalization needs two samples in every batch{of_rank}, but with --batch_size="
                f"{loader.batch_size} the last of the {loader.num_samples:,} samples of {name} stands alone; choose "
                "another --batch_size"
            )


def _check_noise(experiment: "Experiment[ExperimentArgs]") -> None:
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
    spec = experiment.args.from_checkpoint
    if spec is None or experiment.is_taken_up:
        return
    try:
        _load_patiently(experiment.model, spec)
    except UserError as error:
        args_file = Path(spec) / "args.yaml" if isinstance(spec, str) else None
        if args_file is None or not args_file.is_file():
            raise
        raise UserError(f"{error}; for the model of that run add --config={args_file}") from error


def _load_patiently(model: "nn.Module", spec: str | dict[str, str]) -> None:
    """A run that is still training replaces its checkpoints: the one just found may be gone a moment later."""
    for is_last_try in (False, False, True):
        try:
            return load_from_checkpoint(model, spec, lambda text: resolve_checkpoint(Path(text)))
        except UserError:
            if is_last_try:
                raise


def torch_state(experiment: "Experiment[ExperimentArgs]") -> dict[str, Any]:
    """The parts of a PyTorch experiment and every random number generator, in tensors and JSON values.

    And the number of threads: sums on the CPU are made of as many parts.
    """
    import torch

    return {
        "model": experiment.model.state_dict(),
        "returns_average": experiment.ema is not None and experiment.args.use_ema_weights,
        "optimizers": optimizer_states(experiment.world, experiment.optimizers),
        "schedulers": state_of(experiment.schedulers),
        "stepper": experiment.stepper.state_dict(),
        "rng": rng_state(),
        **rng_of_ranks(experiment.world),
        "num_threads": torch.get_num_threads(),
    }


def _note_fused(experiment: "Experiment[ExperimentArgs]") -> None:
    experiment.chosen["fused"] = {
        name: all(group.get("fused") or False for group in optimizer.param_groups)
        for name, optimizer in experiment.optimizers.items()
    }


def load_torch_state(experiment: "Experiment[ExperimentArgs]", state: dict[str, Any]) -> None:
    """Put everything back to where `torch_state` found it.

    Raises:
        UserError: the state is of other parts.
    """
    import torch

    torch.set_num_threads(state["num_threads"])
    load_weights(experiment, state["model"], "the checkpoint")
    for name, parts in (("optimizers", experiment.optimizers), ("schedulers", experiment.schedulers)):
        if state[name].keys() != parts.keys():
            raise UserError(f"the checkpoint has the {name} {listed(state[name])}, and the experiment {listed(parts)}")
    for key, optimizer in experiment.optimizers.items():
        load_optimizer(experiment.world, optimizer, state["optimizers"][key])
    _note_fused(experiment)  # a run goes on as it began
    for key, scheduler in experiment.schedulers.items():
        scheduler.load_state_dict(state["schedulers"][key])
    experiment.stepper.load_state_dict(state["stepper"])
    experiment.rng_before = rng_of_this_rank(experiment, state)


def load_returned_weights(experiment: "Experiment[ExperimentArgs]", path: Path) -> None:
    """Give the model the weights of a checkpoint of its run: the average's, where validation used it."""
    state = restored(experiment, path)
    load_weights(experiment, state["model"], str(path))
    experiment.stepper.load_state_dict(state["stepper"])
    experiment.keep_last_state()
