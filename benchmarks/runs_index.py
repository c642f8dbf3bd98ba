"""What listing and filtering many runs costs.

    python benchmarks/runs_index.py [--runs=10000] [--rounds=5]

Writes that many run directories of 20 epochs into a temporary folder and times whole processes, user and system time:
the first look, which reads every directory; later ones, which find them unchanged, medians; and one from an index that
was deleted. Prints a Markdown table and exits 1 where an unchanged listing costs more than a second.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path

from startup import cpu_seconds

from lab.experiments.digits import DigitsArgs
from labwright.args.base import canonical
from labwright.args.files import yaml_text
from labwright.runs import strict_json, versions
from labwright.runs.listing.index import FILE_NAME

ROOT = Path(__file__).resolve().parent.parent
LIMIT_SECONDS = 1.0
EPOCHS = 20
FILTER = 'val/accuracy>0.95 and model.kind=="mlp" and learning_rate<1e-3'


def main() -> int:
    given = _given()
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder) / "results"
        write_runs(results, given.runs)
        runs = [sys.executable, str(ROOT / "run.py"), "runs", f"--results_dir={results}"]
        measured = {"first look, reading every directory": cpu_seconds(runs)}
        for title, words in {
            "unchanged: every run as a table": [],
            "unchanged: the best 20": ["--sort=-val/accuracy", "--limit=20"],
            f"unchanged: `{FILTER}`": [FILTER],
            "unchanged: every run as JSON": ["--json"],
        }.items():
            measured[title] = statistics.median(cpu_seconds([*runs, *words]) for _ in range(given.rounds))
        (results / FILE_NAME).unlink()
        measured["index deleted: all of it anew"] = cpu_seconds(runs)
        fitting = subprocess.run([*runs, FILTER, "--json"], check=True, capture_output=True).stdout
    print(f"{given.runs:,} runs of {EPOCHS} epochs; the filter fits {len(json.loads(fitting)):,}\n")
    print("| what | CPU s |\n|---|---:|")
    for title, seconds in measured.items():
        print(f"| {title} | {seconds:.2f} |")
    return int(measured["unchanged: every run as a table"] > LIMIT_SECONDS)


def write_runs(results: Path, count: int) -> None:
    """Directories as runs leave them, less pictures and weights."""
    chance = random.Random(0)
    installed = versions()
    args = canonical(DigitsArgs(epochs=EPOCHS))
    for number in range(count):
        start = datetime(2026, 1, 1).astimezone() + timedelta(minutes=number)
        run = results / "digits" / f"{start:%Y-%m-%d_%H-%M-%S}_{number % 65536:04x}"
        run.mkdir(parents=True)
        args["seed"] = number % 5
        args["optimizer"]["learning_rate"] = 10 ** chance.uniform(-4, -1)
        args["model"]["hidden_sizes"] = [chance.choice([32, 64, 128])]
        (run / "args.yaml").write_text(yaml_text(args))
        accuracy = chance.uniform(0.8, 1)
        rows = [
            {"epoch": epoch, "step": 40 * epoch, "split": split, "metrics": {"loss": 1 / epoch, "accuracy": accuracy}}
            for epoch in range(1, EPOCHS + 1)
            for split in ("train", "val")
        ]
        (run / "history.jsonl").write_bytes(b"".join(strict_json(row) + b"\n" for row in rows))
        record = {
            "status": "finished",
            "started_at": start.isoformat(timespec="seconds"),
            "ended_at": (start + timedelta(seconds=9)).isoformat(timespec="seconds"),
            "duration_seconds": 9.0,
            "experiment_id": "digits",
            "options": {"tags": [], "run_name": None},
            "versions": installed,
            "dataset": {"name": "digits", "fingerprint": "0" * 64},
            "result": {
                "best_metric": "val/loss",
                "best_epoch": EPOCHS,
                "best_value": 1 / EPOCHS,
                "weights_epoch": EPOCHS,
                "test": {"loss": 1 / EPOCHS, "accuracy": accuracy},
            },
        }
        (run / "run.json").write_bytes(strict_json(record, indent=2))


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
