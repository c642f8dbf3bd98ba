"""What may be said about the datasets."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from labwright.datasets import DatasetArgs
from pydantic import Field

if TYPE_CHECKING:
    from labwright.datasets import Splits


class SpiralDataArgs(DatasetArgs):
    """Points on the arms of a spiral, one class an arm."""

    kind: Literal["spirals"] = "spirals"
    num_points: int = Field(default=3000, ge=100, description="Points over all arms and splits.")
    num_arms: int = Field(default=3, ge=2, le=10, description="Arms, and so classes.")
    noise_sd: float = Field(default=0.03, ge=0, description="SD of the points' distance from their arm.")
    test_fraction: float = Field(default=0.2, ge=0, lt=1, description="Share of the points held out for the test.")

    def build(self, cache_dir: Path) -> "Splits":
        from .spirals import build_spirals

        return build_spirals(self)
