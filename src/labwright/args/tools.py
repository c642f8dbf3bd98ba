"""What the commands take that try an experiment out: `bench`, `lr-find` and `batch-find`."""

from pathlib import Path
from typing import Self

from pydantic import ByteSize, Field, model_validator

from .base import Args


class ToolOptions(Args):
    """How an experiment is tried out."""

    as_json: bool = Field(default=False, validation_alias="json", description="Print the result as JSON on stdout.")


class BenchOptions(ToolOptions):
    """How the training loop is measured."""

    seconds: float = Field(default=20.0, gt=0, allow_inf_nan=False, description="About how long to measure in all.")


class PictureOptions(ToolOptions):
    """Where the picture goes."""

    output: Path | None = Field(
        default=None, description="The picture: .png, .pdf or .svg (default: in the results directory)."
    )


class LrFindOptions(PictureOptions):
    """How learning rates are tried."""

    lowest_rate: float = Field(default=1e-7, gt=0, allow_inf_nan=False, description="Learning rate of the first step.")
    highest_rate: float = Field(default=10.0, gt=0, allow_inf_nan=False, description="Learning rate of the last step.")
    sweep_steps: int = Field(default=100, ge=10, description="Steps, each with a rate larger by the same factor.")

    @model_validator(mode="after")
    def _rates_rise(self) -> Self:
        if self.lowest_rate >= self.highest_rate:
            raise ValueError(f"highest_rate={self.highest_rate:g} must be above lowest_rate={self.lowest_rate:g}")
        return self


class BatchFindOptions(PictureOptions):
    """How batch sizes are tried."""

    smallest_batch: int | None = Field(default=None, ge=1, description="The first to be tried (default: --batch_size).")
    largest_batch: int | None = Field(
        default=None, ge=1, description="None above is tried (default: the training set in one batch)."
    )
    memory_limit: ByteSize | None = Field(
        default=None, description="Memory that training may use, such as 8GB (default: 90 % of what is free)."
    )
    seconds: float = Field(default=2.0, gt=0, allow_inf_nan=False, description="About how long each size is trained.")
