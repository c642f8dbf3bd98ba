"""States that keep every score of a split, and what their order tells."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from .base import widest_float
from .readings import ClassReading, NumberReading
from .state import Stateful


class Ranking(Stateful):
    """Areas under curves over every threshold there is; all scores are kept until the end.

    From one sort of each class's positives and negatives. torchmetrics sorts all for each area anew, and puts what is
    not within [0, 1] through a sigmoid, which rounds the most confident scores to the same 1.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._scores: list[Tensor] = []
        self._targets: list[Tensor] = []

    def update(self, reading: ClassReading) -> None:
        self._scores.append(reading.scores)
        self._targets.append(reading.target)

    def compute(self) -> Mapping[str, Tensor]:
        scores, target = torch.cat(self._scores), torch.cat(self._targets)
        if scores.isnan().any():  # which are neither above nor below others
            return dict.fromkeys(self._names, torch.tensor(math.nan))
        areas: dict[str, list[Tensor]] = {name: [] for name in self._names}
        for column, of_class in enumerate(scores.unbind(1)):
            if target.ndim == 2:
                is_positive = target[:, column] == 1
            else:
                is_positive = target == (column if scores.shape[1] > 1 else 1)
            order = _Order(_ascending(of_class, is_positive), _ascending(of_class, ~is_positive))
            if "pr_auc" in areas and len(order.positives):
                areas["pr_auc"].append(order.average_precision())
            if "roc_auc" in areas and len(order.positives) and len(order.negatives):
                areas["roc_auc"].append(order.area_under_roc())
        return {name: _mean(of_classes) for name, of_classes in areas.items()}


class _Order:
    """Where the positives of a class lie among its negatives; both are in order."""

    def __init__(self, positives: Tensor, negatives: Tensor) -> None:
        self.positives = positives
        self.negatives = negatives
        self._num_below = _num_below(positives, negatives)

    def average_precision(self) -> Tensor:
        """The mean of the precisions at the score of each positive, each of which adds as much recall."""
        num_right = len(self.positives) - _num_below(self.positives, self.positives)
        num_wrong = len(self.negatives) - self._num_below
        return (num_right / (num_right + num_wrong).to(widest_float(num_right.device))).mean()

    def area_under_roc(self) -> Tensor:
        """The chance that a positive is above a negative, ties counting half."""
        num_not_above = _num_below(self.positives, self.negatives, or_level=True)
        total = (self._num_below + num_not_above).sum().to(widest_float(num_not_above.device))
        return total / (2 * len(self.positives) * len(self.negatives))


# On the CPU NumPy takes half of torch's time for these, or less.


def _ascending(scores: Tensor, mask: Tensor) -> Tensor:
    """The scores in the mask, in order."""
    if scores.is_cpu:
        return torch.from_numpy(np.sort(scores.numpy()[mask.numpy()]))
    return scores[mask].sort().values


def _num_below(scores: Tensor, others: Tensor, *, or_level: bool = False) -> Tensor:
    """How many of the others, which are in order, lie below each score, or level with it."""
    side = "right" if or_level else "left"
    if scores.is_cpu:
        return torch.from_numpy(np.searchsorted(others.numpy(), scores.numpy(), side))
    return torch.searchsorted(others, scores, side=side)


def _mean(values: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(values)).mean() if values else torch.tensor(math.nan)


class TopFive(Stateful):
    """How likely the target is among the five likeliest classes; of classes with one score, any may come first."""

    def __init__(self) -> None:
        self._num_right: list[Tensor] = []
        self._num_samples = 0

    def update(self, reading: ClassReading) -> None:
        scores = reading.floating_preds
        of_target = scores.gather(1, reading.target[:, None])
        num_above = (scores > of_target).sum(1)
        num_level = scores.shape[1] - num_above - (scores < of_target).sum(1)
        right = ((5 - num_above) / num_level).clamp(0, 1)
        self._num_right.append(right.sum(dtype=widest_float(scores.device)))
        self._num_samples += len(scores)

    def compute(self) -> Mapping[str, Tensor]:
        return {"top5_accuracy": torch.stack(self._num_right).sum() / self._num_samples}


class RankCorrelation(Stateful):
    """Spearman's; all numbers are kept until the end.

    Not torchmetrics' SpearmanCorrCoef: its 32-bit sums of ranks overflow where many of 100,000 samples are tied.
    """

    def __init__(self) -> None:
        self._pairs: list[Tensor] = []

    def update(self, reading: NumberReading) -> None:
        self._pairs.append(torch.stack([reading.preds, reading.target]))

    def compute(self) -> Mapping[str, Tensor]:
        preds, target = torch.cat(self._pairs, dim=1)
        if len(preds) < 2:
            return {"spearman": torch.tensor(math.nan)}
        pairs = zip(preds.unbind(1), target.unbind(1), strict=True)
        return {"spearman": _mean([torch.stack([_mean_ranks(x), _mean_ranks(y)]).corrcoef()[0, 1] for x, y in pairs])}


def _mean_ranks(values: Tensor) -> Tensor:
    """Ranks from 1; equal values share the mean of theirs."""
    _, place, counts = values.unique(return_inverse=True, return_counts=True)
    return (counts.cumsum(0) - (counts - 1) / 2).to(values.dtype)[place]
