"""Splits that keep the samples of a group together and the classes in balance. No torch."""

from collections.abc import Sequence
from typing import Any

import numpy as np

_STREAM = int.from_bytes(b"balance")


def split_stratified_groups(groups: Any, classes: Any, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Positions of the rest (the training set), then of one part per fraction, each sorted and of whole groups.

    Large groups are placed first, each where it brings the counts of its classes nearest to their shares; how near
    depends on the groups. The rest is never left empty. The same seed gives the same split everywhere.
    """
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    labels = np.unique(np.asarray(classes), return_inverse=True)[1]
    num_groups, num_classes = int(members.max(initial=-1)) + 1, int(labels.max(initial=-1)) + 1
    rng = np.random.Generator(np.random.PCG64([seed, _STREAM]))
    sizes = np.bincount(members)
    pairs, counts = np.unique(members * max(num_classes, 1) + labels, return_counts=True)
    bounds = np.searchsorted(pairs, np.arange(num_groups + 1) * max(num_classes, 1))
    shares = np.array([1 - sum(fractions), *fractions])
    missing = shares[:, None] * np.bincount(labels, minlength=num_classes)
    weights = 1 / np.maximum(np.bincount(labels, minlength=num_classes), 1)
    part_of = np.zeros(num_groups, dtype=np.int64)
    for group in np.lexsort((rng.random(num_groups), -sizes)):
        own = slice(bounds[group], bounds[group + 1])
        present, amount = pairs[own] % num_classes, counts[own]
        gain = ((2 * missing[:, present] - amount) * amount * weights[present]).sum(axis=1)
        gain[shares <= 0] = -np.inf
        part = int(np.argmax(gain.round(9)))  # sums may differ in their last digit between machines
        part_of[group] = part
        missing[part, present] -= amount
    if num_groups and not (part_of == 0).any():
        part_of[int(np.argmax(sizes))] = 0
    return [np.flatnonzero(part_of[members] == part) for part in range(len(shares))]
