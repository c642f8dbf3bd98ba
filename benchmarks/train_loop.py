"""What training costs in labwright, in loops written by hand and in other frameworks: CPU time of an epoch.

    python benchmarks/train_loop.py [--quick] [--rounds=5] [--samples=60000] [--epochs=3] [--threads=1]
                                    [--rows=bare,bare_fused,with_labwright] [--workloads=tiny,wide,cnn]
                                    [--chart=FILE.png] [--json=FILE] [--saved FILE FILE ...]

Each measurement is a process of its own: a row of `benchmarks/loops` trains one of three models on synthetic images of
MNIST's size, and validates after each epoch. Its output goes to a terminal of its own (a pseudo-terminal), so that
progress bars are drawn. What counts is user and system time from the start of the second epoch to the end of the last,
divided by their number: no imports, no first steps, no plots at the end (`startup.py` counts whole processes). All rows
take turns in shuffled order, round by round; the table has medians, and medians of the ratios to the bare loop of the
same round. Frameworks that are not installed (`pip install -e ".[bench]"`) are left out. Exits 1 where labwright costs
more than it promises, a peer costs less than labwright, or a row fails.
"""

import argparse
import importlib.util
import json
import os
import platform
import pty
import random
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import Any

LOOPS = Path(__file__).resolve().parent / "loops"
BARE, FUSED, LABWRIGHT = "bare", "bare_fused", "with_labwright"
TITLES = {"tiny": "MLP 784-64-10, batch 64", "wide": "MLP 784-512-512-10, batch 128", "cnn": "CNN 16-32-64, batch 128"}
LIMITS = {"tiny": 0.90, "wide": 0.85, "cnn": 1.0}
"""What labwright may cost at most, against the bare loop."""
LIMIT_FUSED = 1.03
"""And against the bare loop with the same batches and optimizer."""
ACCURACY_TOLERANCE = 0.05
"""All rows are to come to the same, but for the order of the samples and the first weights."""


Measured = dict[str, dict[str, list[dict[str, Any]]]]
"""By workload and row, what the process of each round reports."""


@dataclass(frozen=True)
class Row:
    title: str
    package: str
    """What must be installed, as pip knows it."""
    module: str
    """What it is imported as."""


ROWS = {
    LABWRIGHT: Row("labwright", "labwright", "labwright"),
    FUSED: Row("bare loop, fused Adam", "torch", "torch"),
    BARE: Row("bare loop", "torch", "torch"),
    "bare_dataloader": Row("bare loop, DataLoader", "torch", "torch"),
    "with_accelerate": Row("Accelerate", "accelerate", "accelerate"),
    "with_skorch": Row("skorch", "skorch", "skorch"),
    "with_ignite": Row("Ignite", "pytorch-ignite", "ignite"),
    "with_transformers": Row("Hugging Face Trainer", "transformers", "transformers"),
    "with_lightning_barebones": Row("Lightning, barebones", "lightning", "lightning"),
    "with_lightning": Row("Lightning", "lightning", "lightning"),
    "with_keras": Row("Keras on torch", "keras", "keras"),
}


class RowFailed(Exception):
    """A framework does not do its work."""


def main() -> int:
    given = _given()
    setting, measured, failures = _saved(given.saved) if given.saved else _measure_all(given)
    print(setting)
    for workload, reports in measured.items():
        print(f"\n{_table(TITLES[workload], reports)}")
        failures += _failures(workload, reports)
    if given.json:
        given.json.write_text(json.dumps({"setting": setting, "measured": measured}))
    if given.chart:
        _draw(given.chart, measured)
    for failure in failures:
        _say(f"not as promised: {failure}")
    return int(bool(failures))


def _measure_all(given: argparse.Namespace) -> tuple[str, Measured, list[str]]:
    """The setting, what the processes report by workload and row, and what failed."""
    rows = _installed(given.rows or list(ROWS))
    measured: Measured = {name: {row: [] for row in rows} for name in given.workloads}
    failures: list[str] = []
    for number in range(given.rounds):
        draw = random.Random(number)
        turns = [(workload, row) for workload in given.workloads for row in draw.sample(rows, len(rows))]
        for workload, row in turns:
            try:
                report = measure(row, workload, given.samples, given.epochs, given.threads)
            except RowFailed as error:
                failures.append(f"{workload}: {error}")
                continue
            measured[workload][row].append(report)
            _say(f"round {number + 1}/{given.rounds} {workload} {row}: {_seconds(report):.3f} s")
    for reports in measured.values():
        for row in [row for row in reports if len(reports[row]) < given.rounds]:
            del reports[row]
    return _setting(given, rows), measured, failures


def _saved(files: list[Path]) -> tuple[str, Measured, list[str]]:
    """What was measured before, one workload here and another one there."""
    found = [json.loads(file.read_bytes()) for file in files]
    measured = {workload: reports for each in found for workload, reports in each["measured"].items()}
    in_order = {workload: measured[workload] for workload in TITLES if workload in measured}
    return "\n\n".join(each["setting"] for each in found), in_order, []


def measure(row: str, workload: str, num_samples: int, num_epochs: int, num_threads: int) -> dict[str, Any]:
    """What one process reports; see `loops/__main__.py`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        sizes = [f"--samples={num_samples}", f"--epochs={num_epochs}", f"--threads={num_threads}"]
        code, shown = run_on_terminal([sys.executable, str(LOOPS), row, workload, str(file), *sizes], Path(folder))
        if code or not file.is_file():
            raise RowFailed(f"{row} ended with {code}:\n{shown[-4000:]}")
        return json.loads(file.read_bytes())


def run_on_terminal(command: list[str], folder: Path) -> tuple[int, str]:
    """The exit code of a command whose output is a terminal, and what it showed."""
    shown: list[bytes] = []
    ours, theirs = pty.openpty()
    env = os.environ | {"COLUMNS": "120", "TERM": "xterm-256color", "CUDA_VISIBLE_DEVICES": ""}
    process = subprocess.Popen(command, cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    reader = Thread(target=_drain, args=(ours, shown))
    reader.start()
    code = process.wait()
    reader.join()
    os.close(ours)
    return code, b"".join(shown).decode(errors="replace")


def _drain(terminal: int, shown: list[bytes]) -> None:
    while True:
        try:
            chunk = os.read(terminal, 1 << 16)
        except OSError:  # how a terminal says that nobody is left on the other side
            return
        if not chunk:
            return
        shown.append(chunk)


def _seconds(report: dict[str, Any], clock: str = "cpu") -> float:
    """Of an epoch, on average over all but the first."""
    marks = report[clock]
    return (marks[-1] - marks[1]) / (len(marks) - 2)


def _ratio(measured: dict[str, list[dict[str, Any]]], row: str, base: str) -> float:
    pairs = zip(measured[row], measured[base], strict=True)
    return statistics.median(_seconds(taken) / _seconds(plain) for taken, plain in pairs)


def _accuracy(measured: dict[str, list[dict[str, Any]]], row: str) -> float:
    return statistics.median(report["epochs"][-1]["val_accuracy"] for report in measured[row])


def _table(title: str, measured: dict[str, list[dict[str, Any]]]) -> str:
    base = BARE if BARE in measured else next(iter(measured), "")
    rows: list[tuple[float, str]] = []
    for row, reports in measured.items():
        ratio = _ratio(measured, row, base)
        cpu, wall = (statistics.median(_seconds(report, clock) for report in reports) for clock in ("cpu", "wall"))
        figures = f"{cpu:.3f} | {wall:.3f} | {_accuracy(measured, row):.3f} | {ratio:.2f}"
        rows.append((ratio, f"| {ROWS[row].title} | {figures} |"))
    head = f"| {title} | CPU s an epoch | wall s | val accuracy | ratio |\n|---|---:|---:|---:|---:|"
    return "\n".join([head, *(text for _, text in sorted(rows))])


def _failures(workload: str, measured: dict[str, list[dict[str, Any]]]) -> list[str]:
    """What is not as promised."""
    if LABWRIGHT not in measured:
        return []
    failures: list[str] = []
    for base, limit in ((BARE, LIMITS[workload]), (FUSED, LIMIT_FUSED)):
        if base in measured and (ratio := _ratio(measured, LABWRIGHT, base)) > limit:
            failures.append(f"{workload}: {ratio:.3f} of {ROWS[base].title}, and {limit} is the limit")
    for row in measured:
        if abs(_accuracy(measured, row) - _accuracy(measured, LABWRIGHT)) > ACCURACY_TOLERANCE:
            failures.append(f"{workload}: {ROWS[row].title} does not come to the accuracy of labwright")
    for row in [row for row in measured if row not in (BARE, FUSED, LABWRIGHT)]:
        if (ratio := _ratio(measured, row, LABWRIGHT)) <= 1:
            failures.append(f"{workload}: {ROWS[row].title} costs {ratio:.3f} of labwright")
    return failures


def _draw(path: Path, measured: Measured) -> None:
    from chart import draw_ratios

    ratios = {
        TITLES[workload]: {ROWS[row].title: _ratio(reports, row, BARE) for row in reports}
        for workload, reports in measured.items()
        if BARE in reports
    }
    draw_ratios(ratios, path, ours=ROWS[LABWRIGHT].title, by_hand=ROWS[BARE].title)


def _setting(given: argparse.Namespace, rows: list[str]) -> str:
    """The command, the machine and the versions, in a line each."""
    packages = sorted({ROWS[row].package for row in rows} | {"torch"})
    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return "\n".join(
        [
            f"    python benchmarks/train_loop.py {' '.join(sys.argv[1:])}".rstrip(),
            "",
            f"{given.samples:,} samples an epoch, {given.rounds} rounds, {_threads(given)}; {_processor()}, "
            f"{os.cpu_count()} cores, {platform.system()}, Python {platform.python_version()}; {versions}",
        ]
    )


def _threads(given: argparse.Namespace) -> str:
    import torch

    count = given.threads or torch.get_num_threads()
    return f"{count} thread{'s' * (count != 1)}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def _installed(rows: list[str]) -> list[str]:
    there = [row for row in rows if importlib.util.find_spec(ROWS[row].module) is not None]
    for row in rows:
        if row not in there:
            _say(f"{ROWS[row].package} is not installed: left out")
    return there


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="3 rounds of 12,000 samples")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--samples", type=int)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="0: what torch takes by default")
    parser.add_argument("--rows", type=lambda text: text.split(","))
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=list(TITLES))
    parser.add_argument("--chart", type=Path)
    parser.add_argument("--json", type=Path, help="where to write every measurement")
    parser.add_argument("--saved", type=Path, nargs="+", help="measure nothing, show what such files hold")
    given = parser.parse_args()
    given.rounds = given.rounds or (3 if given.quick else 5)
    given.samples = given.samples or (12_000 if given.quick else 60_000)
    unknown = [name for name in given.rows or [] if name not in ROWS]
    unknown += [name for name in given.workloads if name not in TITLES]
    if unknown or given.epochs < 2:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "the first epoch does not count: at least 2")
    return given


if __name__ == "__main__":
    sys.exit(main())
