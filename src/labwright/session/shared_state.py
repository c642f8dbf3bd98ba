"""State that several ranks share out among them: whole in a checkpoint, each rank's part of it when it is loaded."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs
from labwright.runs import make_directory
from labwright.runs.checkpoints.shards import Shards, described, new_folder
from labwright.train import load_into, restore_state, state_of
from labwright.train.distributed.world import World
from labwright.train.layouts import align_state

if TYPE_CHECKING:
    from torch.optim import Optimizer

    from labwright.experiment import Experiment


def share_out_optimizers(experiment: "Experiment[ExperimentArgs]") -> None:
    """Give each rank its part of the optimizers' state, where the strategy asks for that."""
    if experiment.world.size > 1 and experiment.options.strategy == "zero":
        from labwright.train.distributed.zero import share_out

        experiment.optimizers = {name: share_out(optimizer) for name, optimizer in experiment.optimizers.items()}


def optimizer_states(world: World, optimizers: "Mapping[str, Optimizer]") -> dict[str, Any]:
    """The state of each optimizer, of all ranks, on rank 0."""
    if world.size == 1:
        return state_of(optimizers)
    from labwright.train.distributed.zero import optimizer_state

    return {name: optimizer_state(optimizer) for name, optimizer in optimizers.items()}


def whole(experiment: "Experiment[ExperimentArgs]", state: dict[str, Any]) -> dict[str, Any]:
    """The state with the parts of all ranks, on rank 0; with `--sharded_checkpoints` those lie in files already."""
    world = experiment.world
    if world.size == 1:
        return state
    from labwright.train.distributed.sharded import gathered, write_shards

    if not experiment.options.sharded_checkpoints:
        return gathered(state)
    directory, step = experiment.run_directory.checkpoints_path, experiment.position.step

    def begun() -> Path:
        make_directory(directory)
        return new_folder(directory, step)

    folder = world.on_main(begun)
    state = write_shards(state, folder)
    return state | {"shards": Shards(folder.name, described(folder))} if world.is_main else state


def restored(experiment: "Experiment[ExperimentArgs]", path: Path) -> dict[str, Any]:
    """The state in a checkpoint, with this rank's part of what lies in the files of several."""
    return restore_state(path, getattr(experiment.parallel_model, "mesh", None))


def load_weights(experiment: "Experiment[ExperimentArgs]", weights: dict[str, Any], where: str) -> None:
    """Load weights that fit the model, this rank's part of them; `where` they are from."""
    if experiment.world.size > 1:
        from labwright.train.distributed.sharded import share_out_weights

        weights = share_out_weights(weights, experiment.model)
    load_into(experiment.model, weights, where)


def _keep_to_kernels(optimizer: "Optimizer") -> None:
    """Take plain steps where the state is of a run whose device had fused ones, and this one has none."""
    for group in optimizer.param_groups:
        if group.get("fused") and not optimizer.defaults.get("fused"):
            group["fused"] = False


def load_optimizer(world: World, optimizer: "Optimizer", state: dict[str, Any]) -> None:
    """Bring an optimizer to a whole state, or to this rank's part of it."""
    if world.size == 1:
        optimizer.load_state_dict(state)
        _keep_to_kernels(optimizer)
        align_state(optimizer)
        return
    from labwright.train.distributed.sharded import share_out_optimizer_state
    from labwright.train.distributed.zero import load_optimizer_state

    load_optimizer_state(optimizer, share_out_optimizer_state(state, optimizer))
    align_state(getattr(optimizer, "optim", optimizer))
