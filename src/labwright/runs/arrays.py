"""A state of NumPy arrays and JSON values as one safetensors file, for frameworks other than PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError


def encode_arrays(state: Mapping[str, Any]) -> bytes:
    """The state as a file: arrays by name, everything else as JSON in its header.

    NaN and infinities stay what they are, in the header too; tuples come back as lists.

    Raises:
        UserError: a value is neither an array of numbers nor JSON; it is named.
    """
    from safetensors.numpy import save

    arrays: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for name, value in state.items():
        if not isinstance(name, str):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise UserError(f"a state's names are texts, not {name!r}; name it {str(name)!r}")
        if hasattr(value, "__array__"):
            arrays[name] = _checked_array(name, value)
        else:
            rest[name] = _checked_json(name, value)
    return save(arrays, metadata={"json": json.dumps(rest)})


def decode_arrays(path: Path) -> dict[str, Any]:
    """The state in a file; UserError if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        opened: Any = safe_open(path, framework="numpy")
        with opened as file:
            arrays = {name: file.get_tensor(name) for name in list(file.keys())}
            metadata: dict[str, str] = file.metadata() or {}
            return {**arrays, **json.loads(metadata.get("json", "{}"))}
    except (SafetensorError, OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read as a checkpoint: {error}") from error


def _checked_array(name: str, value: Any) -> Any:
    import numpy as np
    from safetensors import SafetensorError
    from safetensors.numpy import save

    try:
        array = np.asarray(value, order="C")
        save({name: array[:0] if array.ndim else array})  # what it may hold, its library knows best
    except (SafetensorError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"state {name!r} is no array of numbers that a checkpoint can hold: {error}") from None
    return array


def _checked_json(name: str, value: Any) -> Any:
    try:
        json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise UserError(
            f"state {name!r} is neither an array nor JSON: {error}; arrays need a name each at the top of the state"
        ) from None
    if _has_other_keys(value):
        raise UserError(f"state {name!r} has keys that are no texts, and JSON would make them texts")
    return value


def _has_other_keys(value: Any) -> bool:
    if isinstance(value, dict):
        return any(not isinstance(key, str) or _has_other_keys(item) for key, item in value.items())  # pyright: ignore[reportUnknownVariableType]
    return isinstance(value, list | tuple) and any(_has_other_keys(item) for item in value)  # pyright: ignore[reportUnknownVariableType]
