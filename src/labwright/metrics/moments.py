"""Sums of numbers and of their products, and the errors and correlation that they tell."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from labwright.args import UserError

from .readings import NumberReading
from .state import Stateful


class Moments(Stateful):
    """Errors and correlation of numbers, by columns.

    Not torchmetrics' R2Score: it calls targets constant whose squares sum up to less than 1e-4.
    """

    def __init__(self) -> None:
        self._rows: list[Tensor] = []

    def update(self, reading: NumberReading) -> None:
        x, y = reading.preds, reading.target
        mean_x, mean_y, error = x.mean(0), y.mean(0), x - y
        far_x, far_y = x - mean_x, y - mean_y
        sums = (far_x.square().sum(0), far_y.square().sum(0), (far_x * far_y).sum(0))
        errors = (error.square().sum(0), error.abs().sum(0))
        row = torch.stack([torch.full_like(mean_x, len(x)), mean_x, mean_y, *sums, *errors])
        if self._rows and row.shape != self._rows[0].shape:
            columns = f"{self._rows[0].shape[1]} and {row.shape[1]}"
            raise UserError(f"--metrics: regression needs the same columns in every batch, not {columns}")
        self._rows.append(row)

    def compute(self) -> Mapping[str, Tensor]:
        n, mean_x, mean_y, xx, yy, xy, squared, absolute = torch.stack(self._rows, dim=1).cpu()
        total = n.sum(0)
        far_x, far_y = mean_x - (n * mean_x).sum(0) / total, mean_y - (n * mean_y).sum(0) / total
        # The spread within the chunks and that between them (Chan, Golub and LeVeque, 1979).
        xx = _unless_rounding((xx + n * far_x.square()).sum(0), n, mean_x)
        yy = _unless_rounding((yy + n * far_y.square()).sum(0), n, mean_y)
        xy = (xy + n * far_x * far_y).sum(0)
        mse = (squared.sum(0) / total).mean()
        return {
            "mse": mse,
            "rmse": mse.sqrt(),
            "mae": (absolute.sum(0) / total).mean(),
            "r2": (1 - squared.sum(0) / yy).mean(),
            "pearson": (xy / (xx * yy).sqrt()).clamp(-1, 1).mean(),
        }


def _unless_rounding(spread: Tensor, n: Tensor, mean: Tensor) -> Tensor:
    """NaN for a sum of squared deviations that is no more than the rounding of a constant."""
    return spread.where(spread > (n * (1e-12 * mean).square()).sum(0), math.nan)
