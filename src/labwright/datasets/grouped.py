"""Splits and limits that keep the samples of a group together. No torch.

A group is whatever must not be on two sides of a split: the images of one patient, the rows of one household.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

_GROUP_STREAM = int.from_bytes(b"group")


def split_groups(groups: Any, fractions: Sequence[float], seed: int) -> list[np.ndarray]:
    """Positions of the rest (the training set), then of one part per fraction, each sorted and of whole groups.

    `groups` names the group of each sample. A part differs from `fraction * n` samples by at most half the largest
    group, unless the rest would be left empty: it keeps one group. Classes are not balanced. The same seed gives the
    same split everywhere.
    """
    members, sizes, order = _groups(groups, seed)
    part_of = np.zeros(len(sizes), dtype=np.int64)  # 0 is the rest
    num_left = len(sizes)
    for part, fraction in enumerate(fractions, start=1):
        room = fraction * len(members)
        for group in order:
            if num_left > 1 and part_of[group] == 0 and sizes[group] <= 2 * room:  # nearer with it than without
                part_of[group] = part
                room -= sizes[group]
                num_left -= 1
    return [np.flatnonzero(part_of[members] == part) for part in range(len(fractions) + 1)]


def take_groups(groups: Any, num_samples: int, seed: int) -> np.ndarray:
    """Sorted positions of at most `num_samples` samples in whole groups; the smallest group if every one is larger."""
    members, sizes, order = _groups(groups, seed)
    is_taken = np.zeros(len(sizes), dtype=bool)
    room = num_samples
    for group in order:
        if sizes[group] <= room:
            is_taken[group] = True
            room -= sizes[group]
    if not is_taken.any():
        is_taken[order[np.argmin(sizes[order])]] = True
    return np.flatnonzero(is_taken[members])


def _groups(groups: Any, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The number of each sample's group, the groups' sizes, and the groups in a random order."""
    members = np.unique(np.asarray(groups), return_inverse=True)[1]
    sizes = np.bincount(members)
    rng = np.random.Generator(np.random.PCG64([seed, _GROUP_STREAM]))
    return members, sizes, np.argsort(rng.random(len(sizes)), kind="stable")
