"""Everything a run depends on, as one safetensors file and back.

Tensors stand under their dotted paths (`model.layers.0.weight`), so the file can be read without labwright. The rest is
JSON in the header's metadata, under `labwright`. A JSON object there is one of these, told apart by its first key:

    {"dict": {...}}            a dict whose keys are text
    {"items": [[key, value]]}  a dict with other keys
    {"counter": [[key, n]]}
    {"tuple": [...]}
    {"float": "inf"}           what JSON has no number for
    {"tensor": NAME}           with `complex` where pairs of real numbers are stored, `stride` where the memory layout
                               is not the usual one, `view: [shape, stride, offset]` for a part of NAME's memory
    {"shard": NAME}            with `shape` and `dtype`: a tensor that lies in the files of several ranks
"""

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from labwright.args.errors import UserError
from labwright.runs.checkpoints.shards import Shards

from .aliases import Place, restore_tensor, share_memory
from .tensor_file import TensorFile, decode

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

SCHEMA = 2


def _from_1(state: Any) -> Any:
    """Since 2, how far the run has come stands under `run`, with the progress within an epoch and the files' rows.

    What 1 did not say: all rows are kept, and there are as many threads as now.
    """
    if not isinstance(state, dict) or "position" not in state:
        return state
    moved = ("position", "best", "early_stopping")
    run = {key: state[key] for key in moved} | {"progress": None, "num_rows": {"history": None, "steps": None}}
    rest = {key: value for key, value in state.items() if key not in moved}
    return rest | {"num_threads": torch.get_num_threads(), "run": run}


MIGRATIONS: dict[int, Callable[[Any], Any]] = {1: _from_1}
"""What makes a state of a schema one of the next."""


@dataclass(frozen=True)
class Shard:
    """Stands in a state for a tensor that lies in the files of several ranks."""

    name: str
    shape: tuple[int, ...]
    dtype: str
    """Of torch: `float32`."""


class CheckpointError(UserError):
    """A checkpoint or weights file that cannot be used."""


def flatten_state(state: Any) -> bytes:
    """The bytes of a checkpoint that holds `state`, as `state_file` describes it."""
    return b"".join(state_file(state))


def state_file(state: Any, shards: Shards | None = None) -> TensorFile:
    """A checkpoint that holds `state`: dicts, lists, tuples, tensors and JSON values, nested at will.

    Tensors that are the same memory, or lie within another's, are stored once and share memory again when restored.
    `shards` are the files with what the state has a Shard of. A TypeError names the place of anything else.
    """
    writer = _Writer()
    tree = writer.tree(state, ())
    tensors = share_memory(writer.places)
    metadata = {"format": "pt"} if shards is None else {"format": "pt", "shards": shards.to_json()}
    # Turned into text only now: `share_memory` has filled in the tensors' nodes.
    text = json.dumps({"schema": SCHEMA, "state": tree}, allow_nan=False, separators=(",", ":"))
    return TensorFile(tensors, {**metadata, "labwright": text})


def restore_state(data: bytes | Path, mesh: "DeviceMesh | None" = None) -> Any:
    """What `flatten_state` was given, its tensors on the CPU. A CheckpointError if the data is not that, or damaged.

    Of tensors that lie in the files of several ranks, each rank of a `mesh` gets its part.
    """
    content, where = (read_file(data), f"{data}: ") if isinstance(data, Path) else (data, "")
    try:
        tensors, metadata = decode(content)
    except ValueError as error:
        raise CheckpointError(f"{where}{first_line(error)}") from error
    state = read_state(tensors, metadata, where)
    return completed(state, metadata, data, mesh) if isinstance(data, Path) else state


def completed(state: Any, metadata: dict[str, str], path: Path, mesh: "DeviceMesh | None" = None) -> Any:
    """The state in the file at `path`, with the tensors of its shards; on a mesh of ranks each has its part of them."""
    if "shards" not in metadata:
        return state
    from .distributed.sharded import read_shards

    try:
        return read_shards(state, path.parent / Shards.from_json(metadata["shards"]).folder, mesh)
    except ValueError as error:
        raise CheckpointError(f"{path}: not a checkpoint that can be read: {first_line(error)}") from error


def read_state(tensors: dict[str, Tensor], metadata: dict[str, str], where: str) -> Any:
    """The state that the content of a safetensors file holds; `where` begins what an error says."""
    try:
        if "labwright" not in metadata:
            raise ValueError("it holds tensors, but no state of a run")
        header = json.loads(metadata["labwright"])
        schema = header["schema"]
        if schema != SCHEMA and schema not in MIGRATIONS:
            newer = "; a newer labwright wrote it" if isinstance(schema, int) and schema > SCHEMA else ""
            raise ValueError(f"its schema is {schema!r}, and this version of labwright reads up to {SCHEMA}{newer}")
        return _migrated(_Reader(tensors).value(header["state"]), schema)
    # Whatever a damaged or forged header makes of the reader, it is the file that is wrong.
    except (ValueError, LookupError, TypeError, AttributeError, RuntimeError, OverflowError) as error:
        raise CheckpointError(f"{where}not a checkpoint that can be read: {first_line(error)}") from error


def _migrated(state: Any, schema: int) -> Any:
    for step in range(schema, SCHEMA):
        state = MIGRATIONS[step](state)
    return state


def read_file(path: Path) -> bytes:
    """The file's content; a CheckpointError if there is none to read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def first_line(error: Exception) -> str:
    """What an error says, cut to one line."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


class _Writer:
    """Writes a state down as a tree of JSON and collects its tensors on the way."""

    def __init__(self) -> None:
        self.places: list[Place] = []
        self._names = {"__metadata__"}  # safetensors' own key

    def tree(self, value: Any, path: tuple[str, ...]) -> Any:
        if value is None or isinstance(value, str | int):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else {"float": str(float(value))}
        if isinstance(value, Tensor):
            return self._tensor(value, path)
        if isinstance(value, Shard):
            return {"shard": value.name, "shape": list(value.shape), "dtype": value.dtype}
        if isinstance(value, Mapping):
            return self._mapping(value, path)
        if isinstance(value, list | tuple):
            members = [self.tree(member, (*path, str(position))) for position, member in enumerate(value)]
            return members if isinstance(value, list) else {"tuple": members}
        raise TypeError(f"{'.'.join(path) or 'the state'}: a {type(value).__name__} cannot be saved in a checkpoint")

    def _mapping(self, mapping: Mapping[Any, Any], path: tuple[str, ...]) -> dict[str, Any]:
        items = [(key, self.tree(value, (*path, str(key)))) for key, value in mapping.items()]
        if not isinstance(mapping, Counter) and all(isinstance(key, str) for key in mapping):
            return {"dict": dict(items)}
        kind = "counter" if isinstance(mapping, Counter) else "items"
        return {kind: [[self.tree(key, path), value] for key, value in items]}

    def _tensor(self, tensor: Tensor, path: tuple[str, ...]) -> dict[str, Any]:
        """A node that is filled in when all tensors are known."""
        place = Place(self._unique_name(path), tensor.detach().resolve_conj().resolve_neg())
        self.places.append(place)
        return place.node

    def _unique_name(self, path: tuple[str, ...]) -> str:
        # {"a": {"b": x}, "a.b": y} has two tensors on one path: the second is named a.b#2.
        path_name = ".".join(path).encode("utf-8", "backslashreplace").decode() or "state"
        name, count = path_name, 1
        while name in self._names:
            count += 1
            name = f"{path_name}#{count}"
        self._names.add(name)
        return name


class _Reader:
    """Makes a state of its tree and its tensors."""

    def __init__(self, tensors: dict[str, Tensor]) -> None:
        self._stored = tensors
        self._restored: dict[str, Tensor] = {}

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(member) for member in node]
        if not isinstance(node, dict):
            return node
        if not node:
            raise ValueError("it holds a value of no kind")
        kind, content = next(iter(node.items()))
        match kind:
            case "dict":
                return {key: self.value(value) for key, value in content.items()}
            case "items":
                return dict(self._pairs(content))
            case "counter":
                return Counter(dict(self._pairs(content)))
            case "tuple":
                return tuple(self.value(member) for member in content)
            case "float":
                return float(content)
            case "tensor":
                return self._tensor(node)
            case "shard":
                return Shard(content, tuple(node["shape"]), node["dtype"])
            case _:
                raise ValueError(f"it holds a value of the unknown kind {kind!r}")

    def _pairs(self, content: Any) -> Iterable[tuple[Any, Any]]:
        return ((self.value(key), self.value(value)) for key, value in content)

    def _tensor(self, node: dict[str, Any]) -> Tensor:
        name = node["tensor"]
        if name not in self._restored:
            self._restored[name] = restore_tensor(self._stored[name], node)
        whole = self._restored[name]
        if "view" not in node:
            return whole
        shape, stride, offset = node["view"]
        return whole.as_strided(shape, stride, whole.storage_offset() + offset)
