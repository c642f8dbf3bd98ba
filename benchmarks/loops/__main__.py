"""One row of the table, once: trains, and writes what it took to a JSON file. `benchmarks/train_loop.py` starts it.

    python benchmarks/loops ROW WORKLOAD FILE --samples=60000 --epochs=3 [--threads=1] [--profile=FILE]

ROW is a module of this folder, such as `bare`. It runs in the current folder, where the framework may write.
"""

import argparse
import importlib
import json
from pathlib import Path

import torch
from work import WORKLOADS, Clock, Work


def main() -> None:
    given = _given()
    if given.threads:
        torch.set_num_threads(given.threads)
    row = importlib.import_module(given.row)
    work, clock = Work(given.workload, given.samples, given.epochs), Clock()
    if given.profile:
        _profiled(row, work, clock, given.profile)
        return
    epochs = row.train(work, clock)
    if len(clock.cpu) != work.num_epochs + 1 or len(epochs) != work.num_epochs:
        raise SystemExit(f"{given.row}: {len(clock.cpu)} marks and {len(epochs)} epochs; wanted {work.num_epochs}")
    report = {"cpu": clock.cpu, "wall": clock.wall, "epochs": [epoch._asdict() for epoch in epochs]}
    given.file.write_text(json.dumps(report | {"num_threads": torch.get_num_threads()}))


def _profiled(row: object, work: Work, clock: Clock, path: Path) -> None:
    """The same under cProfile; read its file with `python -m pstats`."""
    import cProfile

    cProfile.runctx("row.train(work, clock)", {}, {"row": row, "work": work, "clock": clock}, str(path))


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("row")
    parser.add_argument("workload", choices=WORKLOADS)
    parser.add_argument("file", type=Path)
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: what torch takes by default")
    parser.add_argument("--profile", type=Path)
    return parser.parse_args()


if __name__ == "__main__":
    main()
