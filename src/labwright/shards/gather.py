"""Arrays of one shape, straight from the shards into one: no Python for each. No torch."""

import math

import numpy as np

from .codecs.arrays import Layout, NpyCodec
from .files import Places, ShardFiles
from .mapped import MappedShard

_HEAD_BYTES = 10_240
"""More than the header of an array takes."""


class Gatherer:
    """Gathers the `.npy` arrays of one field; remembers the header that they begin with."""

    def __init__(self, files: ShardFiles, field: str) -> None:
        self._files = files
        self._field = field
        self._known: tuple[bytes, Layout | None] = (b"", None)
        """The header and what it means: one value, since several threads may read."""

    def gather(self, positions: np.ndarray) -> np.ndarray | None:
        """The arrays of these samples, [samples, ...]; None: they differ in shape or dtype, or cannot be read so."""
        places = self._files.places(positions, self._field)
        if not len(positions):
            return None
        size = int(places.sizes[0])
        if not (places.sizes == size).all():
            return None
        layout: Layout | None = None
        values: np.ndarray | None = None
        for shard, rows in self._files.by_shard(places):
            part = places if rows is None else places.at(rows)
            same = self._layout_of(shard, part.offsets, size)
            if same is None or (layout is not None and same is not layout):
                return None
            layout = same
            found = self._values(shard, part, size, layout)
            if rows is None:
                values = found
            else:
                values = np.empty(len(positions), found.dtype) if values is None else values
                values[rows] = found
        assert layout is not None and values is not None
        if layout.dtype == bool and values.view(np.uint8).max() > 1:  # then its codec says which one is damaged
            return None
        return values.view(layout.dtype).reshape(len(positions), *layout.shape)

    def _layout_of(self, shard: MappedShard, offsets: np.ndarray, size: int) -> Layout | None:
        """How the arrays there lie, if all begin with the same header."""
        first = int(offsets[0])
        head, layout = self._known
        if not head or shard.view[first : first + len(head)] != head:
            head, layout = self._known = _learned(shard.view[first : first + min(size, _HEAD_BYTES)])
        if layout is None or layout.start + _num_bytes(layout) != size:
            return None
        # Sorted, so that what has to come from a disk comes in the order in which it lies there; and to have looked at
        # both ends of each array before they are copied takes a tenth off the whole, since a processor fetches several.
        starts = np.sort(offsets)
        shard.bytes[starts + (size - 1)]
        heads = shard.rows(layout.start)[starts]
        return layout if heads.tobytes() == head * len(offsets) else None

    def _values(self, shard: MappedShard, places: Places, size: int, layout: Layout) -> np.ndarray:
        if self._files.verify != "read":
            return shard.rows(size - layout.start)[places.offsets + layout.start]
        whole = shard.rows(size)[places.offsets].view(np.uint8).reshape(len(places.offsets), size)
        self._files.check_crcs(places, list(whole))
        return np.ascontiguousarray(whole[:, layout.start :]).view(f"V{size - layout.start}")[:, 0]


def _learned(head: bytes) -> tuple[bytes, Layout | None]:
    """The header that `head` begins with, and what it means; empty and None: it is no header of arrays to gather."""
    layout = NpyCodec.layout(head)
    return (b"", None) if layout is None or not _num_bytes(layout) else (head[: layout.start], layout)


def _num_bytes(layout: Layout) -> int:
    return math.prod(layout.shape) * layout.dtype.itemsize
