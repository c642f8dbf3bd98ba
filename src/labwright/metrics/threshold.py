"""The threshold of a binary classifier, chosen on validation: `choose_threshold(probabilities, targets, "f1")`."""

import math
from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from labwright.args import UserError
from labwright.args.wording import not_one_of

from .base import at_least_single
from .readings import IGNORED

# From true and false positives of every cut; the last cut calls everything positive. Whole numbers where that will do,
# so that equally good cuts are equal.
_QUALITY: Mapping[str, Callable[[Tensor, Tensor], Tensor]] = {
    "f1": lambda tp, fp: 2 * tp.double() / (tp + fp + tp[-1]),
    "accuracy": lambda tp, fp: tp - fp,
    "balanced_accuracy": lambda tp, fp: tp * fp[-1] - fp * tp[-1],
}


def choose_threshold(scores: Tensor | np.ndarray, targets: Tensor | np.ndarray, metric: str = "f1") -> float:
    """The threshold for which calling `score > threshold` positive is best, among all that there are.

    It lies halfway between two neighbouring scores; or it is the largest score, which calls none positive, or next
    below the smallest, which calls all so. Of equals it is the largest. Targets are 0 and 1; both must occur. Those of
    -100 are left out.

    `metric` is f1, accuracy, or balanced_accuracy: mean recall of both classes, best where Youden's index (1950) is.
    """
    if metric not in _QUALITY:
        raise UserError(f"threshold: {not_one_of(metric, list(_QUALITY))}")
    scores, is_positive = _checked(_flat(scores), _flat(targets))
    scores, order = scores.sort(descending=True)
    is_positive = is_positive[order]
    is_last = torch.cat([scores[1:] != scores[:-1], scores.new_ones(1, dtype=torch.bool)])  # of its equals
    cuts = scores[is_last]
    tp, fp = (
        torch.cat([is_in.new_zeros(1, dtype=torch.int64), is_in.cumsum(0)[is_last]])
        for is_in in (is_positive, ~is_positive)
    )
    num_called = int(_QUALITY[metric](tp, fp).argmax())  # of the distinct scores
    if num_called == 0:
        return cuts[0].item()
    above = cuts[num_called - 1]
    if num_called == len(cuts):
        return above.nextafter(above.new_tensor(-math.inf)).item()
    below = cuts[num_called]
    middle = below + (above - below) / 2
    return (middle if below < middle < above else below).item()  # in the scores' precision there may be none between


def _flat(values: Tensor | np.ndarray) -> Tensor:
    # torch.as_tensor would warn of arrays that are read-only.
    return (values.detach().cpu() if isinstance(values, Tensor) else torch.tensor(np.asarray(values))).flatten()


def _checked(scores: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Floating scores, and whether each target is positive."""
    if len(scores) != len(targets):
        raise UserError(f"threshold: there are {len(scores)} scores for {len(targets)} targets")
    scores, targets = scores[targets != IGNORED], targets[targets != IGNORED]
    if scores.isnan().any():
        raise UserError("threshold: some scores are NaN")
    classes = targets.unique().tolist()
    if classes != [0, 1]:
        raise UserError(f"threshold: targets must be 0 and 1, both; they are {classes[:5] or 'none'}")
    return at_least_single(scores), targets == 1
