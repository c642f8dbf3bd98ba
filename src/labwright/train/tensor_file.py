"""The safetensors file format: 8 bytes of header length, a JSON header, the tensors' bytes.

Reading is safetensors' own. Writing is done here: its `save` refuses tensors that share memory and copies everything
twice, and a checkpoint is written at every epoch, by a thread that has a copy of the state and makes no other.
"""

import json
from collections.abc import Iterator
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from .host_memory import HostCopy, HostMemory

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


_CACHE_LINE = 64
PIECE_SIZE = 2**22
"""Bytes that are written, and hashed, at once: what was hashed is still in the processor's cache."""


class TensorFile:
    """The content of a safetensors file, in pieces; equal tensors and metadata give equal bytes.

    Until it is written the tensors must stay as they are: `copied_to` makes one that is independent of them.
    """

    def __init__(self, tensors: dict[str, Tensor], metadata: dict[str, str]) -> None:
        header: dict[str, Any] = {"__metadata__": metadata}
        self._parts: list[tuple[int, Tensor]] = []
        """Where each tensor begins, after the header."""
        self.num_bytes = 0
        """Of all tensors."""
        for name, tensor in sorted(tensors.items(), key=_place):
            if tensor.dtype not in _NAMES:
                raise TypeError(f"{name}: tensors of type {tensor.dtype} cannot be saved")
            start, end = self.num_bytes, self.num_bytes + tensor.numel() * tensor.element_size()
            header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
            self._parts.append((start, tensor.detach()))
            self.num_bytes = end
        text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        self._header = len(text).to_bytes(8, "little") + text

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._header
        for _, tensor in self._parts:
            # Not reshape(-1): it leaves a lone element with whatever stride it had, and `view` refuses that.
            flat = tensor.cpu().contiguous().as_strided((tensor.numel(),), (1,))
            yield from _pieces(flat.view(torch.uint8))

    def reserve_in(self, memory: HostMemory) -> None:
        """Get `memory` ready for that."""
        memory.reserve(self.num_bytes, pinned=any(tensor.is_cuda for _, tensor in self._parts))

    def copied_to(self, memory: HostMemory) -> "CopiedFile":
        """The same content, in `memory`."""
        return CopiedFile(self._header, memory.copy(self._parts, self.num_bytes))


class CopiedFile:
    """The content of a safetensors file whose tensors' bytes lie together in host memory."""

    def __init__(self, header: bytes, content: HostCopy) -> None:
        self._header = header
        self._content = content

    def __iter__(self) -> Iterator[bytes | memoryview]:
        yield self._header
        yield from _pieces(self._content.when_complete())


def _place(named: tuple[str, Tensor]) -> tuple[bool, int, str]:
    """What tensors are sorted by: those of whole lines of a processor's cache first, which so begin with one, too.

    A copy that begins elsewhere takes up to 1.4 times as long. Of the others the widest types come first, so that every
    tensor starts at a multiple of its own element size.
    """
    name, tensor = named
    return bool(tensor.nbytes % _CACHE_LINE), -tensor.element_size(), name


def _pieces(content: Tensor) -> Iterator[memoryview]:
    view = content.numpy().data
    for start in range(0, len(view), PIECE_SIZE):
        yield view[start : start + PIECE_SIZE]


def encode(tensors: dict[str, Tensor], metadata: dict[str, str]) -> bytes:
    """The bytes of a safetensors file; equal tensors and metadata give equal bytes."""
    return b"".join(TensorFile(tensors, metadata))


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
