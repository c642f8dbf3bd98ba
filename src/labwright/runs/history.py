"""history.jsonl: one row per epoch and split."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, Self

from .durable import JsonlWriter, cut_rows, read_jsonl, sync_file


class Best(NamedTuple):
    """Where a metric was best."""

    epoch: int
    step: int
    value: float


def split_metric_name(name: str) -> tuple[str, str]:
    """Split and metric of a metric's name: `train/loss` is (train, loss), a bare `loss` is (val, loss)."""
    split, slash, metric = name.partition("/")
    return (split, metric) if slash else ("val", name)


class History:
    """The metrics of a run, epoch by epoch; each row is on disk before `append` returns, or else after `flush_to_disk`.

    Rows are as in the file: `{"epoch": 1, "step": 938, "split": "val", "metrics": {"loss": 0.1}}`, train rows with
    `learning_rate` too. The file has null for a metric that is NaN or infinite; here that is NaN.
    """

    def __init__(self, path: Path, *, sync: bool = True) -> None:
        self.path = path
        self.sync = sync
        """Whether `append` waits for the disk."""
        self.rows: list[dict[str, Any]] = []
        self._num_synced = 0

    @classmethod
    def load(cls, path: Path, num_rows: int | None = None, *, sync: bool = True) -> Self:
        """The history in `path`, ready for more rows; empty if there is none yet.

        With `num_rows` the file is cut back to its first ones: what a resumed run does again is written again.
        """
        history = cls(path, sync=sync)
        history.rows = read_jsonl(path) if num_rows is None else cut_rows(path, num_rows)
        for row in history.rows:
            row["metrics"] = {name: math.nan if value is None else value for name, value in row["metrics"].items()}
        return history

    def append(
        self, epoch: int, step: int, split: str, metrics: Mapping[str, float], learning_rate: float | None = None
    ) -> None:
        """Add the metrics of one split after one epoch."""
        row: dict[str, Any] = {"epoch": epoch, "step": step, "split": split, "metrics": dict(metrics)}
        if learning_rate is not None:
            row["learning_rate"] = learning_rate
        with JsonlWriter(self.path, sync=self.sync) as writer:
            writer.append(row)
        self.rows.append(row)

    def flush_to_disk(self) -> None:
        """Make the rows so far durable; while it does, a thread may append more."""
        num_rows = len(self.rows)
        if num_rows > self._num_synced:
            sync_file(self.path)
            self._num_synced = num_rows

    def splits(self) -> list[str]:
        """The splits that have rows, in order of appearance."""
        return list(dict.fromkeys(row["split"] for row in self.rows))

    def series(self, split: str, metric: str) -> tuple[list[int], list[float]]:
        """The epochs in which `split` has `metric`, and its values there."""
        points = [(row["epoch"], row["metrics"][metric]) for row in self._rows_with(split, metric)]
        return [epoch for epoch, _ in points], [value for _, value in points]

    def best(self, metric: str = "val/loss", *, minimize: bool = True) -> Best | None:
        """The first of the best epochs by `metric` (full or bare name); None if it has no finite value."""
        split, name = split_metric_name(metric)
        candidates = [Best(row["epoch"], row["step"], row["metrics"][name]) for row in self._rows_with(split, name)]
        finite = [candidate for candidate in candidates if math.isfinite(candidate.value)]
        sign = 1 if minimize else -1
        return min(finite, key=lambda candidate: sign * candidate.value, default=None)

    def _rows_with(self, split: str, metric: str) -> list[dict[str, Any]]:
        return [row for row in self.rows if row["split"] == split and metric in row["metrics"]]
