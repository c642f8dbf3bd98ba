"""A state of NumPy arrays and JSON values as one safetensors file, for frameworks other than PyTorch."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from labwright.args.errors import UserError

from .durable import strict_json


def encode_arrays(state: Mapping[str, Any]) -> bytes:
    """The state as a file: arrays by name, everything else as JSON in its header."""
    import numpy as np
    from safetensors.numpy import save

    arrays = {name: np.asarray(value, order="C") for name, value in state.items() if hasattr(value, "__array__")}
    rest = {name: value for name, value in state.items() if name not in arrays}
    return save(arrays, metadata={"json": strict_json(rest).decode()})


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
