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

    From one sort of each class's scores. torchmetrics sorts them for each area anew, and puts what is not within
    [0, 1] through a sigmoid, which rounds the most confident scores to the same 1.
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
            num_positives = int(is_positive.sum())
            if not num_positives:
                continue
            curve = _Curve(of_class, is_positive, num_positives)
            if "pr_auc" in areas:
                areas["pr_auc"].append(curve.average_precision())
            if "roc_auc" in areas and num_positives < len(is_positive):
                areas["roc_auc"].append(curve.area_under_roc())
        return {name: _mean(of_classes) for name, of_classes in areas.items()}


class _Curve:
    """How many samples, and how many positives, lie above each threshold; equal scores are above it together."""

    def __init__(self, scores: Tensor, is_positive: Tensor, num_positives: int) -> None:
        scores, order = _descending(scores)
        is_last = torch.ones_like(is_positive)  # of those with the same score
        is_last[:-1] = scores[1:] != scores[:-1]
        num_above = is_last.nonzero().squeeze(1)
        exact = widest_float(scores.device)
        self._positives = is_positive.index_select(0, order).cumsum(0).index_select(0, num_above).to(exact)
        self._all = (num_above + 1).to(exact)
        self._num_positives = num_positives

    def average_precision(self) -> Tensor:
        """The precisions, each weighted by the recall that its threshold adds."""
        return (_steps(self._positives) * self._positives / self._all).sum() / self._num_positives

    def area_under_roc(self) -> Tensor:
        """By trapezoids, which is the chance that a positive is above a negative, ties counting half."""
        negatives = self._all - self._positives
        heights = self._positives - _steps(self._positives) / 2
        return (_steps(negatives) * heights).sum() / (negatives[-1] * self._num_positives)


def _descending(scores: Tensor) -> tuple[Tensor, Tensor]:
    """The scores in order, equal ones in any, and where each was."""
    if not scores.is_cpu:
        return scores.sort(descending=True)
    order = torch.from_numpy(np.argsort(scores.numpy())).flip(0)  # in half of torch's time
    return scores.index_select(0, order), order


def _steps(counts: Tensor) -> Tensor:
    """By how much each is above the one before."""
    return counts.diff(prepend=counts.new_zeros(1))


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
