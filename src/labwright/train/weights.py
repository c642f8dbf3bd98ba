"""A model's weights: written for anyone to load, read from labwright's files and other people's."""

import io
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor, nn

from labwright.args.wording import listed

from .checkpoint import CheckpointError, completed, first_line, flatten_state, read_file, read_state
from .distributed.parts import is_shared_out
from .tensor_file import decode, looks_like_safetensors

WRAPPERS = ("model", "state_dict", "model_state_dict")
"""Keys under which other people's checkpoints keep the weights."""
_MOST = 5
"""Names that an error lists."""


def model_bytes(model: nn.Module) -> bytes:
    """The model's weights as a safetensors file, for `safetensors.torch.load_file` and `load_state_dict`.

    Tied weights stand there under each of their names, since `load_state_dict` asks for all of them. Where ranks share
    the weights, all must call it, and rank 0 gets the file.
    """
    state = model.state_dict()
    if any(map(is_shared_out, state.values())):
        from .distributed.sharded import gathered

        state = gathered(state)
    seen: set[int] = set()
    for name, value in state.items():
        if isinstance(value, Tensor):
            memory = value.untyped_storage().data_ptr()
            state[name] = value.clone() if memory in seen else value
            seen.add(memory)
    return flatten_state(state)


def load_weights(path: Path) -> dict[str, Any]:
    """The state dict in a file, on the CPU.

    It may be model.safetensors, a checkpoint of a run, any other safetensors file, or a `.pt`/`.pth` file: the content
    decides, whatever the name. A pickle is never executed.
    """
    content = read_file(path)
    if not content:
        raise CheckpointError(f"{path}: the file is empty")
    weights = _from_safetensors(path, content) if looks_like_safetensors(content) else _from_torch(path, content)
    if not isinstance(weights, Mapping) or not all(isinstance(name, str) for name in weights):
        raise CheckpointError(f"{path}: holds no state dict, but a {type(weights).__name__}")
    return dict(weights)


def load_into(model: nn.Module, weights: Mapping[str, Any], where: str) -> None:
    """Load weights that fit the model exactly; else a CheckpointError that says what differs. `where` they are from."""
    expected = model.state_dict()
    weights = {**weights, **_tied(expected, weights)}
    problems = _differences(expected, weights)
    if problems:
        raise CheckpointError(f"{where}: the weights do not fit {type(model).__name__}: {'; '.join(problems)}")
    model.load_state_dict(weights)


def load_from_checkpoint(model: nn.Module, spec: str | Mapping[str, str], resolve: Callable[[str], Path]) -> None:
    """Load a whole model from a file, or submodules from a file each; `resolve` finds the file that a string means.

    The file for a submodule may be of that submodule alone, or of a model that has it under the same name.
    """
    if isinstance(spec, str):
        load_into(model, load_weights(resolve(spec)), where=spec)
        return
    submodules = dict(model.named_modules())
    for name, file in spec.items():
        if name not in submodules:
            known = listed((sub for sub in submodules if sub), _MOST)
            raise CheckpointError(f"from_checkpoint: the model has no submodule {name!r}; it has {known}")
        submodule = submodules[name]
        weights = _part(load_weights(resolve(file)), name, submodule)
        load_into(submodule, weights, where=f"{file}, for {name}")


def _from_safetensors(path: Path, content: bytes) -> Any:
    try:
        tensors, metadata = decode(content)
    except ValueError as error:
        raise CheckpointError(f"{path}: {first_line(error)}") from error
    if "labwright" not in metadata:
        return tensors
    state = read_state(tensors, metadata, where=f"{path}: ")
    part = completed(state.get("model") if isinstance(state, dict) else state, metadata, path)
    if not isinstance(part, dict):
        return state
    if state.get("returns_average"):  # what the run validates and returns is the average
        averages = state["stepper"]["optimizers"][0]["ema"]["averages"]
        averages = {name: average for name, average in averages.items() if name in part}  # not of what is never saved
        averages = completed(averages, metadata, path)
        part |= averages | _tied(part, averages)
    return part


def _from_torch(path: Path, content: bytes) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about old formats and TorchScript: the error below says what is wrong
            loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except UnpicklingError as error:
        raise CheckpointError(
            f"{path}: not loaded: it is damaged, or a pickle of more than tensors, which could run any code; "
            "save the model's state_dict() alone, best as safetensors"
        ) from error
    except Exception as error:  # a damaged archive or pickle can fail in any way
        raise CheckpointError(f"{path}: cannot be read as weights: {first_line(error)}") from error
    for wrapper in WRAPPERS:
        if isinstance(loaded, Mapping) and isinstance(loaded.get(wrapper), Mapping):
            loaded = loaded[wrapper]
    if isinstance(loaded, Mapping) and not any(isinstance(value, Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path}: holds no state dict; its keys are {listed(map(str, loaded), _MOST)}")
    return loaded


def _part(weights: dict[str, Any], name: str, submodule: nn.Module) -> dict[str, Any]:
    """Of the weights those for the submodule of that name."""
    if weights.keys() == submodule.state_dict().keys():
        return weights
    prefix = f"{name}."
    inside = {key.removeprefix(prefix): value for key, value in weights.items() if key.startswith(prefix)}
    return inside or weights


def _tied(expected: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Values for those of the expected weights that `weights` left out because they are tied to others in it."""
    first_names: dict[tuple[Any, ...], str] = {}
    for name, value in expected.items():
        if isinstance(value, Tensor) and name in weights:
            first_names.setdefault(_identity(value), name)
    return {
        name: weights[first_names[_identity(value)]]
        for name, value in expected.items()
        if isinstance(value, Tensor) and name not in weights and _identity(value) in first_names
    }


def _identity(tensor: Tensor) -> tuple[Any, ...]:
    local = getattr(tensor, "to_local", None)
    own = tensor if local is None else local()  # this rank's part of it
    return own.untyped_storage().data_ptr(), own.storage_offset(), tensor.shape, tensor.stride()


def _differences(expected: Mapping[str, Any], weights: Mapping[str, Any]) -> list[str]:
    """What keeps the weights from fitting, in words."""
    problems: list[str] = []
    if missing := [name for name in expected if name not in weights]:
        problems.append(f"missing {listed(missing, _MOST)}")
    if unexpected := [name for name in weights if name not in expected]:
        problems.append(f"unexpected {listed(unexpected, _MOST)}")
    common = [name for name in expected if name in weights]
    if other := [name for name in common if _shape(expected[name]) != _shape(weights[name])]:
        shapes = (f"{name} is {_shape(weights[name])} there, {_shape(expected[name])} in the model" for name in other)
        problems.append(f"shapes differ: {listed(shapes, _MOST)}")
    return problems


def _shape(value: Any) -> list[int] | str:
    return list(value.shape) if isinstance(value, Tensor) else f"a {type(value).__name__}"
