"""Sources in memory, to pack."""

import numpy as np

from labwright.shards.sources.base import Source
from labwright.shards.sources.columns import ArrayColumn, Table, ValueColumn


def rows(count: int, **splits: int) -> Source:
    """Arrays of 40 bytes and classes of 0 to 2: `count` in train, and other splits."""
    made = {}
    for name, number in {"train": count, **splits}.items():
        arrays = np.arange(number * 10, dtype=np.float32).reshape(number, 10)
        columns = {"npy": ArrayColumn(arrays), "cls": ValueColumn([row % 3 for row in range(number)])}
        made[name] = Table([f"{row:04d}" for row in range(number)], columns)
    return Source({"npy": "npy", "cls": "cls"}, made, {"class_names": ["a", "b", "c"]})
