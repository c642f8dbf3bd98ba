"""Looks for samples that two splits share, before any training on them.

the same object, positions of one source, or group    always refused
equal contents                                        a warning; refused above 1 %, or by policy

Views, joined, zipped, mixed and mapped datasets are taken apart first: what counts is the samples underneath. Only
training, validation and test sets are compared with each other, those for demonstration included; two validation sets
may share samples, as an augmented copy of one does. No torch of its own.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any, Literal

import numpy as np

from labwright.args import UserError

from .provenance import Part, origin, unfold
from .random_states import random_states_kept
from .splits import Dataset, Splits, get_sample, split_indices

OverlapPolicy = Literal["warn", "refuse", "allow"]

_MAX_SHARE = 0.01
_MAX_ROWS = 200_000  # of a dataset in memory: a fraction of a second
_MAX_SAMPLES = 2_000  # of a dataset that may have to decode each one
_MOST_MARKS = 1 << 26  # positions of one source, a byte each


@dataclass(frozen=True)
class _Named:
    split: str
    name: str
    dataset: Dataset
    parts: list[Part]


@dataclass(frozen=True)
class _Digests:
    """A 64-bit digest of each sample looked at, and the positions where the samples are found."""

    values: np.ndarray
    positions: np.ndarray
    num_samples: int

    @property
    def coverage(self) -> float:
        return len(self.values) / self.num_samples


def check_overlap(splits: Splits, policy: OverlapPolicy = "warn") -> list[str]:
    """Warnings about samples that different splits share; a UserError when that is certainly or likely a mistake.

    Splits that are one object, or share source positions or groups, are refused whatever the policy. Equal contents
    are found among all samples of datasets in memory, and among 2,000 of any other; `refuse` refuses one, `warn` more
    than 1 % of the smaller set, `allow` none. Random states are left as they were. What has no samples to look at,
    such as a simulator, is left out.
    """
    datasets = [
        _Named(split, name, dataset, unfold(dataset))
        for split, named in (("train", splits.train), ("val", splits.val), ("test", splits.test))
        for name, dataset in named.items()
        if _has_samples(dataset)
    ]
    pairs = [(first, second) for first, second in combinations(datasets, 2) if first.split != second.split]
    for first, second in pairs:
        _refuse_shared(first, second)
    with random_states_kept():
        digests = _digests(datasets)
    warnings: list[str] = []
    for first, second in pairs if digests else []:
        found = _equal_contents(first, digests[id(first.dataset)], second, digests[id(second.dataset)])
        if found is None:
            continue
        share, text = found
        if policy == "refuse" or (policy == "warn" and share > _MAX_SHARE):
            raise UserError(f"{text}. Split the data differently, or pass --overlap=allow")
        warnings.append(f"{text}.")
    return warnings


def _has_samples(dataset: Any) -> bool:
    can_be_indexed = hasattr(dataset, "__getitem__") or hasattr(dataset, "__getitems__")
    return can_be_indexed and hasattr(dataset, "__len__") and len(dataset) > 0


def _refuse_shared(first: _Named, second: _Named) -> None:
    if first.dataset is second.dataset:
        raise UserError(
            f"{first.name} and {second.name} are the same dataset object: each split needs samples of its own"
        )
    for a, b in product(first.parts, second.parts):
        mine, yours = origin(a), origin(b)
        if mine.key != yours.key:
            continue
        shared = _positions_in_both(mine.indices, yours.indices)
        if len(shared):
            raise UserError(
                f"{first.name} and {second.name} share {len(shared):,} samples of {mine.name} "
                f"(for example number {shared[0]}): each split needs samples of its own"
            )
        _refuse_shared_groups(first, a, second, b)


def _positions_in_both(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The numbers that are in both, sorted."""
    num_positions = max(some.max(initial=0), others.max(initial=0)) + 1
    if min(some.min(initial=0), others.min(initial=0)) < 0 or num_positions > _MOST_MARKS:
        return np.intersect1d(some, others)
    is_there = np.zeros(num_positions, dtype=bool)
    is_there[some] = True
    found = others[is_there[others]]
    return np.unique(found) if len(found) else found


def _refuse_shared_groups(first: _Named, a: Part, second: _Named, b: Part) -> None:
    mine, yours = (getattr(part.dataset, "groups", None) for part in (a, b))
    if mine is None or yours is None:
        return
    shared = np.intersect1d(np.asarray(mine)[a.positions], np.asarray(yours)[b.positions])
    if len(shared):
        raise UserError(
            f"{first.name} and {second.name} share {len(shared):,} of the groups of {origin(a).name} "
            f"(for example {shared[0]!s}): a group has to be on one side; split with hold_out(..., groups=...)"
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


def _digests(datasets: list[_Named]) -> dict[int, _Digests]:
    """The digests of each dataset, by its identity; none at all where the splits have nothing in common.

    Of rows whose sums no other split has, the sums have to do.
    """
    parts = {id(named.dataset): [_bounded(part) for part in named.parts] for named in datasets}
    values = {key: [_screen(part) for part in looked_at] for key, looked_at in parts.items()}
    by_split: dict[str, list[np.ndarray]] = {}
    for named in datasets:
        by_split.setdefault(named.split, []).extend(values[id(named.dataset)])
    suspects = _in_several([np.concatenate(each) for each in by_split.values()])
    if not len(suspects):
        return {}
    for key, looked_at in parts.items():
        for part, found in zip(looked_at, values[key], strict=True):
            _look_closer(part, found, suspects)
    return {
        id(named.dataset): _Digests(
            np.concatenate(values[id(named.dataset)]),
            np.concatenate([part.rows for part in parts[id(named.dataset)]]),
            sum(len(part.positions) for part in named.parts),
        )
        for named in datasets
    }


def _in_several(groups: list[np.ndarray]) -> np.ndarray:
    """The values that more than one of the groups has."""
    together = np.sort(np.concatenate([_distinct(group) for group in groups])) if groups else np.empty(0, np.uint64)
    return _distinct(together[1:][together[1:] == together[:-1]])


def _distinct(values: np.ndarray) -> np.ndarray:
    ordered = np.sort(values)
    return ordered[np.concatenate([[True], ordered[1:] != ordered[:-1]])] if len(ordered) else ordered


def _bounded(part: Part) -> Part:
    """As many of the samples as may be looked at."""
    bound = _MAX_ROWS if hasattr(part.dataset, "stored_rows") else _MAX_SAMPLES
    if len(part.positions) <= bound:
        return part
    _, chosen = split_indices(len(part.positions), [bound / len(part.positions)], seed=0)
    return Part(part.dataset, part.positions[chosen], part.rows[chosen])


def _screen(part: Part) -> np.ndarray:
    """A number for each sample, the same for equal ones: of rows in memory their sums, of any other a digest."""
    dataset: Any = part.dataset
    if not hasattr(dataset, "stored_rows"):
        return np.array([_digest_sample(get_sample(dataset, int(each))) for each in part.positions], np.uint64)
    sums = [
        sum(_words(rows).sum(axis=1, dtype=np.uint64) for rows in dataset.stored_rows(positions))
        for positions in _chunks(part.positions)
    ]
    return np.concatenate([np.empty(0, np.uint64), *sums])


def _look_closer(part: Part, values: np.ndarray, suspects: np.ndarray) -> None:
    """Put digests of the whole contents in the place of sums that are in several splits."""
    if hasattr(part.dataset, "stored_rows"):
        chosen = np.flatnonzero(np.isin(values, suspects))
        for rows in _chunks(chosen):
            values[rows] = _digest_rows(part.dataset, part.positions[rows])


def _chunks(positions: np.ndarray, size: int = 4096) -> Iterator[np.ndarray]:
    for start in range(0, len(positions), size):
        yield positions[start : start + size]


def _digest_rows(dataset: Any, positions: np.ndarray) -> np.ndarray:
    """Digests of input and target as they are stored: the dataset's own, where its rows are but checksums."""
    if hasattr(dataset, "stored_digests"):
        return dataset.stored_digests(positions)
    words = np.concatenate([_words(rows) for rows in dataset.stored_rows(positions)], axis=1)
    weights = np.random.Generator(np.random.PCG64(0)).integers(2**64, size=words.shape[1], dtype=np.uint64)
    mixed = (words ^ (words >> np.uint64(32)) ^ weights) * (weights | np.uint64(1))
    mixed ^= mixed >> np.uint64(29)
    return mixed.sum(axis=1, dtype=np.uint64)


def _words(rows: np.ndarray) -> np.ndarray:
    """The bytes of each row as 64-bit words, filled up with zeros."""
    missing = -rows.shape[1] % 8
    return (np.pad(rows, ((0, 0), (0, missing))) if missing else rows).view(np.uint64)


def _digest_sample(sample: Any) -> int:
    if isinstance(sample, dict):
        keys = [key for key in ("input", "target") if key in sample] or sorted(
            sample.keys() - {"index", "source", "source_index"}
        )
        sample = [sample[key] for key in keys]
    digest = hashlib.blake2b(digest_size=8)
    for value in sample if isinstance(sample, list | tuple) else [sample]:
        digest.update(_content(value))
    return int.from_bytes(digest.digest())


def _content(value: Any) -> bytes:
    if hasattr(value, "detach"):
        import torch  # it is there: this is a tensor

        return value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return np.ascontiguousarray(value).tobytes() if isinstance(value, np.ndarray | np.generic) else repr(value).encode()
