"""States whose tensors are shared out over the ranks: written whole or by each rank, and shared out when they are read.

What each rank writes are the safetensors files of torch.distributed.checkpoint: of any number of ranks, for any other,
and nothing in them is a pickle.
"""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader, HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.distributed.tensor import Shard as ShardOf
from torch.distributed.tensor import empty as empty_shared_out
from torch.optim import Optimizer

from labwright.args.errors import UserError
from labwright.runs.durable import DiskError
from labwright.train.checkpoint import Shard, first_line


def gathered(state: Any) -> Any:
    """The state with whole tensors on the CPU in place of shared ones; on all ranks but the first those are None.

    All ranks must call it with the same tree.
    """
    is_main = torch.distributed.get_rank() == 0

    def whole(value: DTensor, path: str) -> Tensor | None:
        tensor = value.full_tensor().detach()
        return tensor.cpu() if is_main else None

    return _replaced(state, DTensor, whole)


def write_shards(state: Any, folder: Path) -> Any:
    """Have each rank write its part of the shared tensors into `folder`; the state with a Shard in place of each.

    All ranks must call it with the same tree and folder. The files are durable, their names not yet.

    Raises:
        DiskError: a rank could not write.
    """
    tensors: dict[str, Tensor] = {}

    def taken(value: DTensor, path: str) -> Shard:
        tensors[path] = value.detach()
        return Shard(path, tuple(value.shape), str(value.dtype).removeprefix("torch."))

    state = _replaced(state, DTensor, taken)
    try:
        save(tensors, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except CheckpointException as error:
        raise _cause_of(error, folder) from error
    return state


def read_shards(state: Any, folder: Path, mesh: DeviceMesh | None = None) -> Any:
    """The state with its tensors in place of each Shard; on a mesh of ranks each has its part of them.

    Raises:
        ValueError: a file is missing or damaged.
    """
    tensors: dict[str, Tensor] = {}

    def room(value: Shard, path: str) -> Tensor:
        dtype = getattr(torch, value.dtype)
        if not isinstance(dtype, torch.dtype):
            raise ValueError(f"{value.dtype} is no type of numbers")
        if mesh is None:
            tensors[value.name] = torch.empty(value.shape, dtype=dtype)
        else:
            tensors[value.name] = empty_shared_out(*value.shape, dtype=dtype, device_mesh=mesh, placements=[ShardOf(0)])
        return tensors[value.name]

    try:
        state = _replaced(state, Shard, room)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="torch.distributed is disabled, unavailable or uninitialized")
            reader = HuggingFaceStorageReader(str(folder))
            load(tensors, storage_reader=reader, no_dist=mesh is None)
    except CheckpointException as error:
        raise ValueError(f"its shards cannot be read: {first_line(_cause_of(error, folder))}") from error
    except (AttributeError, RuntimeError) as error:
        raise ValueError(f"its shards cannot be read: {first_line(error)}") from error
    return state


def _replaced(state: Any, kind: type[Any], replace: Callable[[Any, str], Any], path: str = "") -> Any:
    """The tree with what `replace` makes of each value of a kind and of its path."""
    if isinstance(state, kind):
        return replace(state, path)
    if isinstance(state, Mapping):
        return {
            key: _replaced(value, kind, replace, f"{path}.{key}" if path else str(key)) for key, value in state.items()
        }
    if isinstance(state, list | tuple):
        return type(state)(_replaced(value, kind, replace, f"{path}.{index}") for index, value in enumerate(state))
    return state


def _cause_of(error: CheckpointException, folder: Path) -> Exception:
    """What went wrong on the first rank that it did on."""
    cause = next((cause for cause, _ in error.failures.values()), None)
    if isinstance(cause, OSError):
        return DiskError(folder, cause)
    return RuntimeError(f"{folder}: {first_line(cause) if isinstance(cause, Exception) else error}")


def shared_out(value: Any, like: Any) -> Any:
    """A whole tensor, the same on every rank, as `like` is: this rank's part of it where that is shared out."""
    if not isinstance(like, DTensor) or isinstance(value, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def share_out_weights(weights: Mapping[str, Any], model: nn.Module) -> dict[str, Any]:
    """A state dict of whole tensors for a model that is shared out; `load_into` says what does not fit."""
    expected = model.state_dict()
    return {
        name: shared_out(value, expected[name]) if _fits(value, expected.get(name)) else value
        for name, value in weights.items()
    }


def share_out_optimizer_state(state: Mapping[str, Any], optimizer: Optimizer) -> dict[str, Any]:
    """An optimizer's state of whole tensors for one whose parameters are shared out.

    Raises:
        UserError: it keeps tensors of another shape than the parameter's, and how to share those out is not known.
    """
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values = {index: dict(of_one) for index, of_one in state["state"].items()}
    for index, of_one in values.items():
        parameter = parameters[index]
        for name, value in of_one.items():
            if isinstance(parameter, DTensor) and isinstance(value, Tensor) and value.ndim:
                if not _fits(value, parameter):
                    raise UserError(
                        f"--strategy=fsdp cannot share out {name!r}, which {type(optimizer).__name__} keeps in the "
                        f"shape {list(value.shape)} for a parameter of shape {list(parameter.shape)}"
                    )
                of_one[name] = shared_out(value, parameter)
    return {**state, "state": values}


def _fits(value: Any, like: Any) -> bool:
    return isinstance(value, Tensor) and isinstance(like, Tensor) and value.shape == like.shape
