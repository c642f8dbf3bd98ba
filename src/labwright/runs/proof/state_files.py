"""What two safetensors files differ in, read without torch: which tensors, and which of the values beside them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from labwright.args.errors import UserError

_WRAPPERS = frozenset({"labwright", "json", "dict"})
"""Words of the format in a value's place."""


@dataclass(frozen=True)
class StateComparison:
    """What a comparison of two states came to."""

    num_tensors: int
    num_values: int
    differing: list[str]
    """Names of tensors, then of other values, that are not the same bits in both, or missing in one."""


def compare_states(a: Path, b: Path) -> StateComparison:
    """How far two checkpoints or weights files are the same, bit by bit; measured seconds do not count.

    Raises:
        UserError: one of them cannot be read.
    """
    one, other = _StateFile(a), _StateFile(b)
    names = sorted(one.tensors.keys() | other.tensors.keys(), key=lambda name: (not name.startswith("model."), name))
    differing = [name for name in names if not one.has_same(name, other)]
    values = sorted(one.values.keys() | other.values.keys())
    differing += [name for name in values if not one.says_same(name, other)]
    return StateComparison(len(names), len(values), differing)


class _StateFile:
    """The header of a safetensors file; its tensors are read one at a time."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                if size > path.stat().st_size - 8:
                    raise ValueError("its header is cut short")
                header = json.loads(file.read(size))
                if not isinstance(header, dict):
                    raise ValueError("its header is no JSON object")
                self.tensors = cast(dict[str, Any], header)
            self.values = dict(
                _leaves({name: _parsed(text) for name, text in self.tensors.pop("__metadata__", {}).items()})
            )
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        except (ValueError, AttributeError, RecursionError) as error:
            raise UserError(f"{path} is damaged: {error}") from error
        self._start = 8 + size

    def has_same(self, name: str, other: "_StateFile") -> bool:
        mine, theirs = self.tensors.get(name), other.tensors.get(name)
        if mine is None or theirs is None:
            return False
        is_alike = (mine["dtype"], mine["shape"]) == (theirs["dtype"], theirs["shape"])
        return is_alike and self._content(mine) == other._content(theirs)

    def says_same(self, name: str, other: "_StateFile") -> bool:
        absent = object()
        return name.endswith("seconds") or self.values.get(name, absent) == other.values.get(name, absent)

    def _content(self, tensor: dict[str, Any]) -> bytes:
        begin, end = tensor["data_offsets"]
        with self.path.open("rb") as file:
            file.seek(self._start + begin)
            return file.read(end - begin)


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def _leaves(value: Any, place: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every value in a nested one under its place, as JSON text: that is equal for a NaN, too."""
    if isinstance(value, dict) and value:
        for name, item in cast(dict[str, Any], value).items():
            yield from _leaves(item, place if name in _WRAPPERS else (*place, name))
    elif isinstance(value, list) and value:
        for number, item in enumerate(cast(list[Any], value)):
            yield from _leaves(item, (*place, str(number)))
    else:
        yield ".".join(place), json.dumps(value)
