"""The keys of a batch, looked up when somebody looks at them. No torch."""

from collections.abc import Iterator, Sequence
from typing import Any, overload

import numpy as np

from .index import Index


class BatchNames(Sequence[str]):
    """The keys of the samples at `positions`, like a list of them; copied or sent to another process, it is a list."""

    def __init__(self, index: Index, positions: np.ndarray) -> None:
        self._index = index
        self._positions = positions
        self._known: list[str] | None = None

    def __len__(self) -> int:
        return len(self._positions)

    @overload
    def __getitem__(self, row: int) -> str: ...
    @overload
    def __getitem__(self, row: slice) -> "BatchNames": ...
    def __getitem__(self, row: int | slice) -> "str | BatchNames":
        return BatchNames(self._index, self._positions[row]) if isinstance(row, slice) else self._looked_up()[row]

    def __iter__(self) -> Iterator[str]:
        return iter(self._looked_up())

    def __eq__(self, other: object) -> bool:
        return self._looked_up() == (other._looked_up() if isinstance(other, BatchNames) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._looked_up())

    def __reduce__(self) -> tuple[Any, ...]:
        return list, (self._looked_up(),)

    def _looked_up(self) -> list[str]:
        if self._known is None:
            self._index.check()
            self._known = self._index.keys[self._positions]
        return self._known
