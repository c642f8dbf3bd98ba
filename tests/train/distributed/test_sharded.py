"""What each rank wrote is read whole by one process, and in parts by another number of ranks."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from labwright.args import UserError
from labwright.runs.checkpoints.shards import Shards, described
from labwright.runs.durable import DiskError
from labwright.train import CheckpointError, restore_state
from labwright.train.checkpoint import Shard, state_file
from labwright.train.distributed.fsdp import ShardedModel
from labwright.train.distributed.sharded import gathered, read_shards, share_out_optimizer_state, write_shards
from tests.train.distributed.ranks import on_ranks

CPU = torch.device("cpu")


def state() -> tuple[ShardedModel, dict[str, Any]]:
    """A state of shared tensors, some with fewer rows than there are ranks, and of what is the same on all."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5), nn.Linear(5, 1)).double()
    parallel = ShardedModel(model, CPU)
    moments = [parameter.detach() * 2 for parameter in model.parameters()]
    return parallel, {"model": model.state_dict(), "moments": moments, "step": 7, "rng": torch.arange(3)}


def written(folder: Path) -> dict[str, Any]:
    parallel, whole = state()
    placeholders = write_shards(whole, folder / "step_00000007.shards")
    found = {"placeholders": placeholders, "whole": gathered(whole), "mesh": parallel.mesh.size()}
    try:
        (folder / "file").touch()
        write_shards(whole, folder / "file")
    except DiskError as error:
        found["refused"] = str(error)
    odd = torch.optim.SGD(parallel.parameters(), momentum=0.9)
    try:
        share_out_optimizer_state({"state": {0: {"rows": torch.zeros(5)}}}, odd)
    except UserError as error:
        found["odd"] = str(error)
    return found


def read_in_parts(folder: Path) -> Any:
    parallel, _ = state()
    return gathered(restore_state(folder / "step_00000007.safetensors", parallel.mesh))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def of_two_ranks(folder: Path) -> dict[str, Any]:
    """What the first of two ranks knows of the shards that both wrote; the checkpoint stands beside them."""
    found = on_ranks(2, folder / "two", written, folder)[0]
    shards = Shards("step_00000007.shards", described(folder / "step_00000007.shards"))
    content = b"".join(state_file(found["placeholders"], shards))
    (folder / "step_00000007.safetensors").write_bytes(content)
    return found


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours["step"] == theirs["step"] == 7
    assert torch.equal(ours["rng"], theirs["rng"])
    for mine, other in zip(tensors_of(ours), tensors_of(theirs), strict=True):
        assert torch.equal(mine, other)


def tensors_of(state: dict[str, Any]) -> list[Tensor]:
    return [*state["model"].values(), *state["moments"]]


@pytest.mark.slow
def test_one_process_reads_what_two_ranks_wrote(folder: Path, of_two_ranks: dict[str, Any]) -> None:
    assert isinstance(of_two_ranks["placeholders"]["model"]["0.weight"], Shard)
    assert_same(restore_state(folder / "step_00000007.safetensors"), of_two_ranks["whole"])


@pytest.mark.slow
def test_three_ranks_read_what_two_ranks_wrote(folder: Path, of_two_ranks: dict[str, Any]) -> None:
    assert_same(on_ranks(3, folder / "three", read_in_parts, folder)[0], of_two_ranks["whole"])


@pytest.mark.slow
def test_a_rank_that_cannot_write_is_heard_in_one_line(of_two_ranks: dict[str, Any]) -> None:
    assert "cannot be written" in of_two_ranks["refused"] and "\n" not in of_two_ranks["refused"]


@pytest.mark.slow
def test_state_in_shapes_of_its_own_is_refused(of_two_ranks: dict[str, Any]) -> None:
    assert of_two_ranks["odd"] == (
        "--strategy=fsdp cannot share out 'rows', which SGD keeps in the shape [5] for a parameter of shape [5, 3]"
    )


@pytest.mark.slow
def test_shards_that_are_missing_or_damaged_are_an_error_of_the_checkpoint(
    tmp_path: Path, of_two_ranks: dict[str, Any]
) -> None:
    path = tmp_path / "step_00000007.safetensors"
    path.write_bytes(b"".join(state_file(of_two_ranks["placeholders"], Shards("step_00000007.shards", {}))))
    with pytest.raises(CheckpointError, match="its shards cannot be read"):
        restore_state(path)
    (tmp_path / "step_00000007.shards").mkdir()
    (tmp_path / "step_00000007.shards" / "shard-1.safetensors").write_bytes(b"not this")
    with pytest.raises(CheckpointError, match="its shards cannot be read"):
        restore_state(path)


def test_a_type_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="load is no type of numbers"):
        read_shards({"x": Shard("x", (1,), "load")}, tmp_path)
