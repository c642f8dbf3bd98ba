"""Runs of several experiments, in several states, to filter."""

from pathlib import Path

from labwright.runs.listing.summary import RunSummary

RUNS = [
    RunSummary(
        Path("results/digits/2026-01-31_12-00-00_aaaa"),
        "finished",
        experiment_id="digits",
        started_at="2026-01-31T12:00:00+00:00",
        tags=["baseline", "paper"],
        args={"seed": 0, "model.kind": "mlp", "model.hidden_sizes": [64], "optimizer.learning_rate": 1e-3, "ema": None},
        metrics={"val/accuracy": 0.95, "val/loss": 0.2, "test/accuracy": 0.9},
        last={"val/accuracy": 0.85},
    ),
    RunSummary(
        Path("results/digits/2026-02-01_12-00-00_bbbb"),
        "failed",
        experiment_id="digits",
        started_at="2026-02-01T12:00:00+00:00",
        note='says "no"',
        archived=True,
        args={
            "seed": 1,
            "model.kind": "cnn",
            "model.hidden_sizes": [64, 32],
            "optimizer.learning_rate": 0.1,
            "ema": 0.9,
        },
        metrics={"val/loss": 2.5},
    ),
    RunSummary(
        Path("results/trees/2026-02-02_12-00-00_cccc"),
        "finished",
        experiment_id="trees",
        args={
            "seed": 1,
            "depth": 3,
            "learning_rate": 0.5,
            "use_bagging": True,
            "a.kind": "x",
            "b.kind": "y",
            "status": "new",
        },
        metrics={"val/accuracy": 0.7},
    ),
]
