"""Run directories as a run leaves them, without the run."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Any

from labwright.runs import History, RunDirectory, RunRecord

DIGITS: dict[str, Any] = {
    "experiment_id": "digits",
    "seed": 0,
    "epochs": 3,
    "model": {"kind": "mlp", "hidden_sizes": [64]},
    "optimizer": {"kind": "adam", "learning_rate": 0.001, "weight_decay": 0.0},
}
SGD = {"kind": "sgd", "learning_rate": 0.1, "momentum": 0.9}


def write_run(
    results: Path,
    run_id: str = "ab12",
    *,
    args: Mapping[str, Any] | None = None,
    val_loss: Sequence[float] = (0.5, 0.3, 0.4),
    test: Mapping[str, float] | None = None,
    status: Any = "finished",
    **facts: Any,
) -> RunDirectory:
    """A run of `digits` with these arguments changed and this loss on validation, epoch by epoch."""
    arguments = DIGITS | dict(args or {})
    run = RunDirectory(results / arguments["experiment_id"] / f"2026-01-31_12-00-00_{run_id}")
    run.path.mkdir(parents=True)
    run.write_args(arguments)
    history = History(run.history_path)
    for epoch, loss in enumerate(val_loss, start=1):
        history.append(epoch, 10 * epoch, "train", {"loss": 0.9 * loss}, learning_rate=0.001)
        history.append(epoch, 10 * epoch, "val", {"loss": loss, "accuracy": 1 - loss})
    record = RunRecord.start(run.record_path, experiment_id=arguments["experiment_id"], **facts)
    finite = [loss for loss in val_loss if isfinite(loss)]
    best = min(finite, default=None)
    best_epoch = None if best is None else [*val_loss].index(best) + 1
    result = {"best_metric": "val/loss", "best_value": best, "best_epoch": best_epoch, "weights_epoch": best_epoch}
    if status == "finished":
        record.finish(status, result=result | {"test": dict(test or {"loss": 0.35, "accuracy": 0.9})})
    elif status != "running":
        record.finish(status, error="KilledError: killed")
    return run
