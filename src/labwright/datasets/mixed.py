"""Datasets mixed by ratio."""

import math
from collections.abc import Mapping

import numpy as np

from labwright.args import UserError
from labwright.args.wording import listed

from .grouped import take_groups
from .joined import InterleavedDataset, shuffled
from .splits import Dataset, quotas
from .view import DatasetView


class MixedDataset(InterleavedDataset):
    """An epoch of `num_samples` that holds named datasets by ratio: `MixedDataset(sets, {"real": 3, "made": 1})`.

    The counts are exact, what is left over by rounding going where it is most due (largest remainder). A dataset with
    fewer samples than its share starts over, each round in another order; one with more gives the part that `seed`
    draws. The samples and their order are the same in every epoch; a loader that shuffles does so on top of this.
    """

    def __init__(
        self,
        datasets: Mapping[str, Dataset],
        ratios: Mapping[str, float],
        num_samples: int | None = None,
        seed: int = 0,
    ) -> None:
        _check(datasets, ratios)
        self.ratios = dict(ratios)
        self.seed = seed
        num_samples = sum(map(len, datasets.values())) if num_samples is None else num_samples
        weights = np.array([ratios[name] for name in datasets], dtype=np.float64)
        counts = quotas(
            num_samples * weights / weights.sum(),
            num_samples,
            available=np.full(len(weights), num_samples + 2),  # a dataset that starts over never runs out
            tie_break=np.arange(len(weights)),
        )
        members = np.repeat(np.arange(len(counts)), counts)
        positions = [
            _wrapped(len(dataset), count, seed, number)
            for number, (dataset, count) in enumerate(zip(datasets.values(), counts.tolist(), strict=True))
        ]
        order = shuffled(num_samples, seed)
        super().__init__(datasets, members[order], np.concatenate(positions)[order])

    def take(self, num_samples: int, seed: int = 0) -> Dataset:
        """A shorter epoch with the same ratios; where datasets have groups, whole ones of this epoch instead."""
        if num_samples >= len(self):
            return self
        groups = self.groups
        if groups is not None:
            return DatasetView(self, take_groups(groups, num_samples, seed))
        return MixedDataset(self.datasets, self.ratios, num_samples, seed)


def _check(datasets: Mapping[str, Dataset], ratios: Mapping[str, float]) -> None:
    if datasets.keys() != ratios.keys():
        raise UserError(
            f"ratios are given for {listed(map(repr, ratios)) or 'nothing'}, but the datasets to mix are "
            f"{listed(map(repr, datasets)) or 'none'}; each needs one"
        )
    for name, ratio in ratios.items():
        if not (math.isfinite(ratio) and ratio >= 0):
            raise UserError(f"the ratio of {name!r} is {ratio:g}; it has to be a number from 0 up")
        if ratio > 0 and len(datasets[name]) == 0:
            raise UserError(f"{name!r} has no samples to mix in; leave it out, or give it the ratio 0")
    if not any(ratios.values()):
        raise UserError("there is nothing to mix: one ratio at least has to be above 0")


def _wrapped(size: int, count: int, seed: int, member: int) -> np.ndarray:
    """`count` positions of a dataset, round after round, each round in an order of its own."""
    rounds = [shuffled(size, seed, member, number) for number in range(-(-count // size) if count else 0)]
    return np.concatenate([np.empty(0, dtype=np.int64), *rounds])[:count]
