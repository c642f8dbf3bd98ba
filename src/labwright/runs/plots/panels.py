"""History rows sorted into panels: one for the loss, one per metric, one for the learning rate. Plain Python."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

LEARNING_RATE = "learning_rate"
LARGEST_DRAWN = 1e150  # an axis that ends near the largest float cannot be drawn
# Only what is an error may get a logarithmic axis: an accuracy from 0.005 to 0.9 is read linearly.
_ERRORS = {"loss", "error", "mse", "mae", "rmse", "nll", "perplexity", "entropy"}


@dataclass
class Series:
    """One split's values by epoch; what is not finite is NaN, a gap in the line."""

    split: str
    by_epoch: dict[int, float] = field(default_factory=dict[int, float])

    @property
    def epochs(self) -> list[int]:
        return sorted(self.by_epoch)

    @property
    def values(self) -> list[float]:
        return [self.by_epoch[epoch] for epoch in self.epochs]

    @property
    def is_test(self) -> bool:
        return role(self.split) == "test"


@dataclass
class Panel:
    """What is drawn on one pair of axes."""

    name: str
    series: dict[str, Series] = field(default_factory=dict[str, Series])

    def add(self, split: str, epoch: int, value: object) -> None:
        # A resumed run may repeat an epoch: the later row counts.
        self.series.setdefault(split, Series(split)).by_epoch[epoch] = drawable(value)

    @property
    def finite(self) -> list[float]:
        return [value for series in self.series.values() for value in series.values if math.isfinite(value)]

    @property
    def num_gaps(self) -> int:
        return sum(len(series.by_epoch) for series in self.series.values()) - len(self.finite)

    @property
    def is_logarithmic(self) -> bool:
        """Whether a linear axis would press most of the values flat."""
        values = self.finite
        if not values or min(values) < 1e-100:  # zero, as good as zero, or negative
            return False
        if self.name == LEARNING_RATE:  # a cosine's tail is no reason, a decay by factors is
            few_levels = len(set(values)) <= 5 and max(values) > 20 * min(values)
            return few_levels or max(values) > 10 * median(values)
        return max(values) / 100 > min(values) and not _ERRORS.isdisjoint(self.name.lower().split("_"))


def role(split: str) -> str:
    """`train`, `val` or `test`: what a split's values are used for."""
    return next((name for name in ("train", "test") if split.startswith(name)), "val")


def sort_into_panels(rows: Iterable[Mapping[str, Any]]) -> list[Panel]:
    """Panels for the loss, the other metrics in order of appearance, and the learning rate."""
    panels: dict[str, Panel] = {"loss": Panel("loss")}
    learning_rate = Panel(LEARNING_RATE)
    for row in rows:
        for name, value in row["metrics"].items():
            panels.setdefault(name, Panel(name)).add(row["split"], row["epoch"], value)
        if LEARNING_RATE in row:
            learning_rate.add("train", row["epoch"], row[LEARNING_RATE])
    return [panel for panel in [*panels.values(), learning_rate] if panel.series]


def splits_of(panels: Sequence[Panel]) -> list[str]:
    """All splits that have metrics: training first, then validation, then test sets."""
    names = {split for panel in panels if panel.name != LEARNING_RATE for split in panel.series}
    ordered = dict.fromkeys(split for panel in panels for split in panel.series if split in names)
    return sorted(ordered, key=lambda split: ("train", "val", "test").index(role(split)))


def drawable(value: object) -> float:
    """The value, or NaN for one that leaves a gap."""
    # Null is how history.jsonl says NaN.
    return float(value) if isinstance(value, int | float) and abs(value) < LARGEST_DRAWN else math.nan
