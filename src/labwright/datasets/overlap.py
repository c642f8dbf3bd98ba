"""Looks for samples that two splits share, before any training on them.

the same object, or the same positions of one source    always refused
equal contents                                          a warning; refused above 1 %, or by policy
"""

import hashlib
import random
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from labwright.args import UserError

from .splits import Dataset, Splits, get_sample, split_indices
from .tensor import TensorDataset

OverlapPolicy = Literal["warn", "refuse", "allow"]

_MAX_SHARE = 0.01
_MAX_ROWS = 200_000  # of a dataset in memory: a fraction of a second
_MAX_SAMPLES = 2_000  # of a dataset that may have to decode each one


@dataclass(frozen=True)
class _Named:
    split: str
    name: str
    dataset: Dataset


@dataclass(frozen=True)
class _Digests:
    """A 64-bit digest of each sample looked at, and the samples' positions."""

    values: np.ndarray
    positions: np.ndarray
    num_samples: int

    @property
    def coverage(self) -> float:
        return len(self.values) / self.num_samples


def check_overlap(splits: Splits, policy: OverlapPolicy = "warn") -> list[str]:
    """Warnings about samples that different splits share; a UserError when that is certainly or likely a mistake.

    Splits that are one object, or share source positions, are refused whatever the policy. Equal contents are found
    among all samples of datasets in memory, and among 2,000 of any other; `refuse` refuses one, `warn` more than
    1 % of the smaller set, `allow` none. Random states are left as they were.
    """
    datasets = [
        _Named(split, name, dataset)
        for split, named in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        for name, dataset in named.items()
        if len(dataset)
    ]
    pairs = [(first, second) for first, second in combinations(datasets, 2) if first.split != second.split]
    for first, second in pairs:
        _refuse_shared(first, second)
    with _random_states_kept():
        digests = {id(named.dataset): _digest(named.dataset) for named in datasets}
    warnings: list[str] = []
    for first, second in pairs:
        found = _equal_contents(first, digests[id(first.dataset)], second, digests[id(second.dataset)])
        if found is None:
            continue
        share, text = found
        if policy == "refuse" or (policy == "warn" and share > _MAX_SHARE):
            raise UserError(f"{text}. Split the data differently, or pass --overlap=allow")
        warnings.append(f"{text}.")
    return warnings


def _refuse_shared(first: _Named, second: _Named) -> None:
    if first.dataset is second.dataset:
        raise UserError(
            f"{first.name} and {second.name} are the same dataset object: each split needs samples of its own"
        )
    source: str | None = getattr(first.dataset, "source", None)
    if source is None or source != getattr(second.dataset, "source", None):
        return
    indices = [getattr(named.dataset, "source_indices", None) for named in (first, second)]
    if indices[0] is None or indices[1] is None:
        return
    shared = np.intersect1d(np.asarray(indices[0]), np.asarray(indices[1]))
    if len(shared):
        raise UserError(
            f"{first.name} and {second.name} share {len(shared):,} samples of {source} "
            f"(for example number {shared[0]}): each split needs samples of its own"
        )


def _equal_contents(first: _Named, a: _Digests, second: _Named, b: _Digests) -> tuple[float, str] | None:
    """The share of the smaller set that is also in the larger, and the sentence that says so."""
    if b.num_samples <= a.num_samples:
        first, a, second, b = second, b, first, a
    num_equal = int(np.isin(a.values, b.values).sum())
    if num_equal == 0:
        return None
    _, in_a, in_b = np.intersect1d(a.values, b.values, return_indices=True)
    example = int(np.argmin(a.positions[in_a]))
    # a sample of the larger set shows only its part of what is equal
    share = min(1.0, num_equal / len(a.values) / b.coverage)
    looked_at = "samples" if a.coverage == 1 else "samples looked at"
    text = (
        f"{num_equal:,} of {len(a.values):,} {looked_at} of {first.name} have equal contents in {second.name} "
        f"(for example {first.name}[{a.positions[in_a[example]]}] and {second.name}[{b.positions[in_b[example]]}])"
    )
    return share, text


def _digest(dataset: Dataset) -> _Digests:
    in_memory = isinstance(dataset, TensorDataset)
    positions = np.arange(len(dataset))
    bound = _MAX_ROWS if in_memory else _MAX_SAMPLES
    if len(dataset) > bound:
        _, positions = split_indices(len(dataset), [bound / len(dataset)], seed=0)
    if in_memory:
        values = _digest_rows(dataset, positions)
    else:
        values = np.array([_digest_sample(get_sample(dataset, int(position))) for position in positions], np.uint64)
    return _Digests(values, positions, len(dataset))


def _digest_rows(dataset: TensorDataset, positions: np.ndarray, chunk: int = 4096) -> np.ndarray:
    """Digests of input and target as they are stored, thousands at a time."""
    values = np.empty(len(positions), dtype=np.uint64)
    for start in range(0, len(positions), chunk):
        index = torch.from_numpy(positions[start : start + chunk])
        words = np.concatenate(
            [_words(part.index_select(0, index)) for part in (dataset.inputs, dataset.targets)], axis=1
        )
        weights = np.random.Generator(np.random.PCG64(0)).integers(2**64, size=words.shape[1], dtype=np.uint64)
        mixed = (words ^ (words >> np.uint64(32)) ^ weights) * (weights | np.uint64(1))
        mixed ^= mixed >> np.uint64(29)
        values[start : start + chunk] = mixed.sum(axis=1, dtype=np.uint64)
    return values


def _words(rows: Tensor) -> np.ndarray:
    """The bytes of each row as 64-bit words, filled up with zeros."""
    data = rows.contiguous().reshape(len(rows), -1).view(torch.uint8).numpy()
    return np.pad(data, ((0, 0), (0, -data.shape[1] % 8))).view(np.uint64)


def _digest_sample(sample: Any) -> int:
    if isinstance(sample, dict):
        keys = [key for key in ("input", "target") if key in sample] or sorted(sample.keys() - {"index", "source"})
        sample = [sample[key] for key in keys]
    digest = hashlib.blake2b(digest_size=8)
    for value in sample if isinstance(sample, list | tuple) else [sample]:
        digest.update(_content(value))
    return int.from_bytes(digest.digest())


def _content(value: Any) -> bytes:
    if isinstance(value, Tensor):
        return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray | np.generic) else repr(value).encode()


@contextmanager
def _random_states_kept() -> Iterator[None]:
    """A dataset that augments at random may draw numbers when it is looked at; training must not notice."""
    python_state, numpy_state = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        yield
    random.setstate(python_state)
    np.random.set_state(numpy_state)
