"""Whether a file is what was saved: its size, its SHA-256, and the header of a safetensors file."""

import json
from pathlib import Path

from labwright.args.errors import UserError

from ..durable import file_sha256
from .index import checked_object


def check_file(path: Path, size: int, sha256: str) -> None:
    """Raise a UserError unless the file is there, of that size and content."""
    try:
        there = path.stat().st_size
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    if there != size:
        raise UserError(f"{path} is damaged: it has {there} bytes instead of {size}")
    if file_sha256(path) != sha256:
        raise UserError(f"{path} is damaged: its content differs from what was saved (SHA-256)")


def check_whole(path: Path) -> None:
    """Raise a UserError unless `path` is a safetensors file, as long as its header says."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            header_size = int.from_bytes(file.read(8), "little")
            if header_size > size - 8:
                raise ValueError("its header is cut short, or it has none")
            header = checked_object(json.loads(file.read(header_size)))
        ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
        if 8 + header_size + max(ends, default=0) != size:
            raise ValueError("it is not as long as its header says")
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is damaged: not a complete safetensors file ({error})") from error
