"""How several ranks share the work of training: what `--strategy` stands for."""

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from labwright.args import ExperimentArgs, UserError
from labwright.train import Loader, choose_device, derive_seed, rng_state, seed_everything, set_rng_state
from labwright.train.distributed.world import World, launched_local_rank

if TYPE_CHECKING:
    import torch

    from labwright.experiment import Experiment
    from labwright.train.distributed.group import Group


def import_parts(strategy: str) -> None:
    """Import what a strategy needs of torch, while there is no group yet.

    Defaults of functions there are the group of that moment: it would live on in them, and so would its threads, which
    may abort a process that exits.
    """
    if strategy == "fsdp":
        import_module("labwright.train.distributed.fsdp")
    elif strategy == "zero":
        from labwright.train.distributed.zero import zero_class

        zero_class()


def build_parallel(experiment: "Experiment[ExperimentArgs]") -> Any:
    """What computes the training loss on several ranks, for `experiment.parallel_model`; None alone."""
    strategy = experiment.options.strategy
    if experiment.world.size == 1:
        if strategy != "ddp":
            line = f"--strategy={strategy}: one rank has nothing to share out; torchrun starts several"
            experiment.warnings.append(line)
        if experiment.args.sync_batchnorm:
            experiment.warnings.append("--sync_batchnorm: one rank has the whole batch; torchrun starts several")
        return None
    experiment.chosen["ranks"] = {"world_size": experiment.world.size, "strategy": experiment.options.strategy}
    _sync_batchnorm(experiment)
    if experiment.options.strategy == "fsdp":
        from labwright.train.distributed.fsdp import ShardedModel

        if experiment.args.channels_last is True:
            raise UserError("--channels_last does not go with --strategy=fsdp; leave one of the two out")
        experiment.chosen["channels_last"] = False
        return ShardedModel(experiment.model, experiment.device, experiment.args.precision)
    from labwright.train.distributed.ddp import DataParallel

    return DataParallel(experiment.model, cast("Group", experiment.world))


def _sync_batchnorm(experiment: "Experiment[ExperimentArgs]") -> None:
    """Make batch normalization that of the whole batch, where the args ask for that."""
    if not experiment.args.sync_batchnorm:
        return
    from torch import nn

    if experiment.device.type == "cpu":
        raise UserError("--sync_batchnorm: PyTorch has it for accelerators alone; leave it out on the CPU")
    experiment.model = nn.SyncBatchNorm.convert_sync_batchnorm(experiment.model)


def share_loaders(experiment: "Experiment[ExperimentArgs]") -> None:
    """Give each rank its part of every batch.

    Raises:
        UserError: a loader cannot be shared, or a batch has fewer samples than there are ranks.
    """
    world, batch_size = experiment.world, experiment.args.batch_size
    if world.size == 1:
        return
    if batch_size < world.size:
        raise UserError(f"--batch_size={batch_size} is that of all {world.size} ranks together; give each a sample")
    for name, loader in experiment.loaders.items():
        if not isinstance(loader, Loader):
            raise UserError(
                f"{type(experiment).__name__}.build_loader gives a {type(loader).__name__} for {name}, which several "
                "ranks cannot share; return what labwright.train.build_loader gives"
            )
        loader.share(world.rank, world.size, training=name in experiment.splits.train)


def agree_on_steps(experiment: "Experiment[ExperimentArgs]") -> None:
    """Let the stepper make one step of the windows of all ranks.

    Raises:
        UserError: there are several optimizers, and the strategy has weights in parts.
    """
    if experiment.world.size == 1:
        return
    if len(experiment.optimizers) > 1 and experiment.options.strategy == "fsdp":
        raise UserError(
            f"--strategy=fsdp trains with one optimizer, and {experiment.args.experiment_id} has "
            f"{len(experiment.optimizers)}; use ddp or zero"
        )
    from labwright.train.distributed.ddp import DataParallel
    from labwright.train.distributed.group import Group
    from labwright.train.distributed.steps import OwnExchange, StepAgreement

    assert isinstance(experiment.world, Group)
    reference = experiment.args.batch_size / experiment.world.size
    parallel = experiment.parallel_model
    exchange = parallel if isinstance(parallel, DataParallel) else OwnExchange(experiment.world)
    experiment.stepper.ranks = StepAgreement(experiment.world, reference, exchange)


def rng_of_ranks(world: World) -> dict[str, Any]:
    """Where the generators of the other ranks stand, for a checkpoint; nothing of a process that is alone."""
    if world.size == 1:
        return {}
    return {"rng_of_ranks": world.gather(rng_state())[1:]}


def rng_of_this_rank(experiment: "Experiment[ExperimentArgs]", state: dict[str, Any]) -> dict[str, Any]:
    """Where the generators of this rank go on; new ones for ranks that there were not before."""
    rank, of_others = experiment.world.rank, state.get("rng_of_ranks", [])
    if rank == 0:
        return state["rng"]
    if len(of_others) + 1 == experiment.world.size:
        return of_others[rank - 1]
    before = rng_state()
    seed_everything(derive_seed(experiment.args.seed, "taken up", experiment.position.step, "rank", rank))
    try:
        return rng_state()
    finally:
        set_rng_state(before)


def device_of(experiment: "Experiment[ExperimentArgs]") -> "torch.device":
    """Where this process computes: on the device of its rank, or on any where it is alone."""
    return choose_device(experiment.machine.use_cuda, local_rank=launched_local_rank())
