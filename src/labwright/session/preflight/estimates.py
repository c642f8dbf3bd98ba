"""What a run will take, from what a few batches of it took: time, memory, disk."""

import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labwright.args import ExperimentArgs
from labwright.runs.sizes import bytes_text, seconds_text

if TYPE_CHECKING:
    from labwright.bare import BareExperiment

_BYTES_PER_STEP_ROW = 200


@dataclass(frozen=True)
class Estimate:
    """What a run will take; None where nobody knows."""

    seconds: float | None
    memory_bytes: int | None
    checkpoint_bytes: int | None
    disk_bytes: int | None
    """At the most: while a checkpoint is written, the one that it replaces is still there."""
    free_bytes: int

    @property
    def lack_of_space(self) -> str | None:
        """What is wrong with the disk; None: there is room enough."""
        if self.disk_bytes is None or self.disk_bytes <= self.free_bytes:
            return None
        each = "" if self.checkpoint_bytes is None else f", each checkpoint {bytes_text(self.checkpoint_bytes)}"
        return (
            f"it needs {bytes_text(self.disk_bytes)} of disk{each}, and {bytes_text(self.free_bytes)} are free; "
            "free some, or lower --keep_checkpoints or --keep_best"
        )

    def text(self) -> str:
        """The estimate in one line."""
        facts = [
            None if self.seconds is None else f"about {seconds_text(self.seconds)}",
            None if self.memory_bytes is None else f"{bytes_text(self.memory_bytes)} memory",
            None if self.disk_bytes is None else f"{bytes_text(self.disk_bytes)} disk in all",
        ]
        known = ", ".join(fact for fact in facts if fact is not None)
        return f"{known or 'unknown'} ({bytes_text(self.free_bytes)} free)"


def estimate(
    experiment: "BareExperiment[ExperimentArgs]",
    folder: Path,
    seconds_per_batch: Mapping[str, float],
    *,
    checkpoint_bytes: int | None = None,
    other_bytes: int = 0,
    seconds_per_checkpoint: float = 0.0,
) -> Estimate:
    """What the run will take; `seconds_per_batch` is by dataset, `folder` on the disk of the results."""
    options = experiment.options
    num_rows = num_training_batches(experiment) // options.log_every_n_steps
    kept = (checkpoint_bytes or 0) * (options.keep_checkpoints + options.keep_best + 1)
    disk = kept + other_bytes + num_rows * _BYTES_PER_STEP_ROW
    return Estimate(
        seconds_in_all(experiment, seconds_per_batch, seconds_per_checkpoint) if seconds_per_batch else None,
        experiment.memory(),
        checkpoint_bytes,
        disk or None,
        shutil.disk_usage(folder).free,
    )


def num_batches(loader: Any) -> int | None:
    """How many batches a loader gives; None where it does not say."""
    return len(loader) if hasattr(loader, "__len__") else None


def num_steps_per_epoch(experiment: "BareExperiment[ExperimentArgs]") -> int:
    """Optimizer steps of an epoch; 0 where a loader does not say."""
    size = experiment.args.accumulate_batches
    return sum(-(-(num_batches(experiment.loaders[name]) or 0) // size) for name in experiment.splits.train)


def num_training_batches(experiment: "BareExperiment[ExperimentArgs]") -> int:
    """Batches of the whole training; 0 where a loader does not say."""
    lengths = [num_batches(experiment.loaders[name]) or 0 for name in experiment.splits.train]
    return experiment.num_epochs * sum(lengths) if experiment.options.stage == "train" else 0


def seconds_in_all(
    experiment: "BareExperiment[ExperimentArgs]", seconds_per_batch: Mapping[str, float], seconds_per_checkpoint: float
) -> float | None:
    """The time of every epoch, of the checkpoints, and of the test with its predictions; None where nobody knows.

    A set that `seconds_per_batch` does not have is taken to be like the slowest of its kind.
    """
    splits, options = experiment.splits, experiment.options

    def passing(names: Iterable[str]) -> float:
        known = [seconds_per_batch[name] for name in names if name in seconds_per_batch]
        usual = max(known or seconds_per_batch.values())
        return sum(seconds_per_batch.get(name, usual) * len(experiment.loaders[name]) for name in names)

    if any(num_batches(loader) is None for loader in experiment.loaders.values()):
        return None
    total = 2 * passing(splits.test)
    if options.stage == "train":
        total += experiment.num_epochs * (passing(splits.train) + passing(splits.val) + seconds_per_checkpoint)
        every = options.checkpoint_every_seconds
        total += total // every * seconds_per_checkpoint if every else 0.0
    return total
