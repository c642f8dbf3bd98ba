"""Several batches made at once and cut apart, where samples lie in tensors: it takes half the time of one by one."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from .batch import Batch, PlacedBatch

_BLOCK_BYTES = 2**20
"""Larger ones would not stay in a processor's cache until they are used."""
_MOST_BATCHES = 64
_ALIGNMENT = 64
"""Bytes at which torch lets its own tensors begin; sums of others may come out differently in the last digit."""


def batches_in_block(sample: Batch, batch_size: int) -> int:
    """How many batches of samples like this one, a batch of one, are best made at once."""
    if not all(map(_is_column, sample.values())):
        return 1
    sizes = [value.nbytes for value in sample.values() if isinstance(value, Tensor)]
    if any(size * batch_size % _ALIGNMENT for size in sizes):
        return 1
    return max(1, min(_MOST_BATCHES, _BLOCK_BYTES // (sum(sizes) * batch_size)))


def keep_memory_of_blocks() -> None:
    """Let glibc keep what blocks are made in: it gives idle memory back where that is more than twice the largest piece
    that it saw freed, and taking it again, page by page, would cost more than the batches. One is freed untouched.
    This changes little, for loaders in scripts too; `kept_freed_memory` keeps all there is."""
    torch.empty(8 * _BLOCK_BYTES, dtype=torch.uint8)


def _is_column(value: Any) -> bool:
    """Whether it has an entry for each sample."""
    if isinstance(value, Tensor):
        return value.ndim > 0
    is_listed = isinstance(value, Sequence) and not isinstance(value, str)
    return is_listed and len(value) == 1 and not isinstance(value[0], Tensor)


def cut(block: Batch, batch_size: int) -> Iterator[Batch]:
    """The batches of a block, each tensor a part of its own of the block's; the last may be shorter."""
    if len(block["index"]) <= batch_size:
        yield block
        return
    if isinstance(block, PlacedBatch):
        placed = {**block, "index": block.placed_index}
        indices = block["index"].unsafe_split(batch_size)
        yield from map(PlacedBatch, cut(placed, batch_size), indices)
        return
    starts = range(0, len(block["index"]), batch_size)
    # Not `split`: its parts know that they are parts, and a model could not write over its input.
    columns = [
        value.unsafe_split(batch_size) if isinstance(value, Tensor) else [value[i : i + batch_size] for i in starts]
        for value in block.values()
    ]
    for values in zip(*columns, strict=True):
        yield dict(zip(block, values, strict=True))
