"""The safetensors file format: 8 bytes of header length, a JSON header, the tensors' bytes.

Reading is safetensors' own. Writing is done here: its `save` refuses tensors that share memory and copies everything
twice, and a checkpoint is written at every epoch.
"""

import json
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint64: "U64",
    torch.uint32: "U32",
    torch.uint16: "U16",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


def encode(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The bytes of a safetensors file; equal tensors and metadata give equal bytes."""
    header: dict[str, Any] = {"__metadata__": metadata}
    parts: list[Any] = []
    end = 0
    # Widest types first, so that every tensor starts at a multiple of its own element size.
    for name, tensor in sorted(tensors.items(), key=lambda item: (-item[1].element_size(), item[0])):
        if tensor.dtype not in _NAMES:
            raise TypeError(f"{name}: tensors of type {tensor.dtype} cannot be saved")
        start, end = end, end + tensor.numel() * tensor.element_size()
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
        # Not reshape(-1): it leaves a lone element with whatever stride it had, and `view` refuses that.
        flat = tensor.detach().cpu().contiguous().as_strided((tensor.numel(),), (1,))
        parts.append(flat.view(torch.uint8).numpy().data)
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return b"".join([len(text).to_bytes(8, "little"), text, *parts])


def decode(data: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors (on the CPU) and the metadata of a safetensors file; a ValueError if it is none, or damaged."""
    try:
        tensors = load(data)
    except (SafetensorError, KeyError) as error:  # a KeyError: an element type that safetensors' torch side lacks
        raise ValueError(f"not a complete safetensors file ({error})") from error
    header: dict[str, Any] = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return tensors, header.get("__metadata__") or {}


def looks_like_safetensors(data: bytes) -> bool:
    """Whether a file that starts with `data` could be one, whole or not."""
    return data[8:9] == b"{"
