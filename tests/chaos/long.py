"""Kills runs some hundred times and writes what came of it into docs/reliability.md.

    python tests/chaos/long.py --kills=300 --seed=0

prints a line for each run that did not end as it should, then the tables; exit code 1 if there was one. It takes about
twenty minutes. Everything drives the command line of `tests/chaos/lab`; see the tables for what is done to it.
"""

import argparse
import os
import random
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.chaos import scenarios  # noqa: E402
from tests.chaos.harness import EXPERIMENTS, Lab  # noqa: E402
from tests.chaos.inject import Loss  # noqa: E402
from tests.chaos.mutants import MUTANTS, Mutant, catch  # noqa: E402
from tests.chaos.scenarios import Reference  # noqa: E402

PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- begin: tests/chaos/long.py -->", "<!-- end: tests/chaos/long.py -->"
SHORT = ("--epochs=2", "--checkpoint_every_n_steps=8")
"""Of the run whose every file operation is hit."""
NAMES = {"mlp": "MLP", "cnn": "CNN, 2 workers"}


@dataclass
class Row:
    """A line of the table: one kind of fault, done to runs of one experiment."""

    title: str
    experiment: str
    flags: tuple[str, ...] = ()
    num_runs: int = 0
    num_kills: int = 0
    num_resumes: int = 0
    most_redone: int = 0
    failures: list[str] = field(default_factory=list[str])

    def cells(self) -> list[str]:
        good = f"{self.num_runs - len(self.failures)} of {self.num_runs}"
        numbers = (self.num_runs, self.num_kills, self.num_resumes, good, self.most_redone)
        return [self.title, NAMES[self.experiment], *map(str, numbers)]


class Report:
    """What was done, and what came of it."""

    def __init__(self, lab: Lab, seed: int) -> None:
        self.lab = lab
        self.chance = random.Random(seed)
        self.rows: list[Row] = []

    def total(self, name: str) -> int:
        return sum(getattr(row, name) for row in self.rows)

    @property
    def failures(self) -> list[str]:
        return [failure for row in self.rows for failure in row.failures]

    def row(self, title: str, experiment: str, *flags: str) -> Row:
        row = Row(title, experiment, flags)
        self.rows.append(row)
        print(f"{title} ({NAMES[experiment]})", file=sys.stderr, flush=True)
        return row

    def run(self, row: Row, scenario: Callable[..., None], *args: Any, **options: Any) -> None:
        """Do something to a new run, and count it."""
        trial = self.lab.trial(row.experiment, *row.flags)
        try:
            scenario(trial, *args, **options)
        except Exception as error:
            row.failures.append(f"{row.title}, {row.experiment}: {type(error).__name__}: {error}")
            print(row.failures[-1][:2000], flush=True)
        row.num_runs += 1
        row.num_kills += trial.num_kills
        row.num_resumes += trial.num_resumes
        row.most_redone = max(row.most_redone, trial.num_redone)


def kill_at_random(report: Report, references: dict[str, Reference], num_kills: int) -> None:
    """Kills at random times, places and file operations, half of them to each experiment."""
    scenarios_by_title: dict[str, tuple[Callable[..., None], dict[str, Any]]] = {
        "SIGKILL at a random time": (scenarios.kill_at_random_times, {}),
        "SIGKILL within a random batch, validation, checkpoint, test or plot": (scenarios.kill_at_random_places, {}),
        "SIGKILL before, in or after a random file operation": (
            scenarios.kill_at_random_operations,
            {"modes": ["kill", "torn", "after"]},
        ),
        "power loss at a random file operation": (scenarios.kill_at_random_operations, {"modes": ["power"]}),
    }
    share = -(-num_kills // (len(EXPERIMENTS) * len(scenarios_by_title)))
    for experiment in EXPERIMENTS:
        for title, (scenario, options) in scenarios_by_title.items():
            row = report.row(title, experiment)
            while row.num_kills < share and row.num_runs < share:
                num_lives = report.chance.randint(1, 4)
                report.run(row, scenario, references[experiment], report.chance, num_kills=num_lives, **options)


def hit_every_operation(report: Report) -> None:
    """Every file operation of a short run in turn."""
    reference = Reference.of(report.lab, "mlp", *SHORT)
    operations = list(enumerate(reference.operations, start=1))
    losses = get_args(Loss)
    row = report.row("SIGKILL before each file operation in turn", "mlp", *SHORT)
    for at, _ in operations:
        report.run(row, scenarios.hit_operation, reference, mode="kill", at=at)
    row = report.row("SIGKILL in the middle of each write in turn", "mlp", *SHORT)
    for at, what in operations:
        if what.startswith("write"):
            report.run(row, scenarios.hit_operation, reference, mode="torn", at=at)
    row = report.row("power loss before each file operation in turn", "mlp", *SHORT)
    for at, _ in operations:
        report.run(row, scenarios.hit_operation, reference, mode="power", at=at, loss=losses[at % len(losses)], seed=at)
    for mode, name in (("full", "full disk (ENOSPC)"), ("broken", "I/O errors (EIO)")):
        row = report.row(f"{name} from each third file operation on", "mlp", *SHORT)
        for at, _ in operations[::3]:
            report.run(row, scenarios.fail_from_operation, reference, mode=mode, at=at)


def stop_by_signals(report: Report, references: dict[str, Reference]) -> None:
    """Each signal in each phase."""
    for experiment, reference in references.items():
        for name in scenarios.EXIT_CODES:
            row = report.row(f"{name} at start-up, in training, validation, saving, testing, plotting", experiment)
            report.run(row, scenarios.stop_before_anything, reference, name)
            places = [f"training:{report.chance.randint(1, reference.num_batches)}" for _ in range(3)]
            places += [f"validation:{report.chance.randint(1, 8)}", f"saving:{report.chance.randint(1, 10)}"]
            for place in (*places, "testing:2", "plotting:1"):
                report.run(row, scenarios.stop_by_signal, reference, name, place)


def use_fresh_processes(report: Report, references: dict[str, Reference], num_runs: int = 5) -> None:
    """The same kills to processes that were started as a person starts them."""
    for experiment, reference in references.items():
        row = report.row("SIGKILL at a random time, to `python run.py` that nobody forked", experiment)
        for _ in range(num_runs):
            report.run(row, scenarios.kill_fresh_process, reference, report.chance)


def catch_mutants(folder: Path, source: Path, references: dict[str, Reference]) -> dict[Mutant, str | None]:
    """Each mutant, and what showed it; None: nothing did."""
    caught: dict[Mutant, str | None] = {}
    for number, mutant in enumerate(MUTANTS):
        print(f"mutant: {mutant.name}", file=sys.stderr, flush=True)
        try:
            caught[mutant] = catch(mutant, folder / f"mutant_{number}", source, references)
        except AssertionError as error:
            print(f"mutant {mutant.name}: {error}"[:2000], flush=True)
            caught[mutant] = None
    return caught


def tables(report: Report, caught: dict[Mutant, str | None], seconds: float) -> Iterator[str]:
    """The lines of the page's part that is made here."""
    header = [
        "what was done",
        "to",
        "runs",
        "kills",
        "resumes",
        "ended as if nothing had happened",
        "most steps redone",
    ]
    yield from _table(header, [row.cells() for row in report.rows])
    yield ""
    yield (
        f"{report.total('num_kills')} kills and {report.total('num_resumes')} resumes of {report.total('num_runs')} "
        f"runs in {seconds / 60:.0f} minutes; {len(report.failures)} runs did not end as they should."
    )
    yield ""
    rows = [[mutant.name, mutant.caught_by, _short(seen) if seen else "NOT CAUGHT"] for mutant, seen in caught.items()]
    yield from _table(["mutant", "caught by", "what showed it"], rows)


def _short(text: str) -> str:
    """A line for the page, without the folder of the day."""
    text = re.sub(r"/\S*/(\S+/\S+)", r"\1", text)
    return text if len(text) < 90 else f"{text[:80].rpartition(',')[0]}, ..."


def _table(header: list[str], rows: list[list[str]]) -> Iterator[str]:
    for cells in (header, ["---"] * len(header), *rows):
        yield f"| {' | '.join(cells)} |"


def write_page(lines: list[str]) -> None:
    """Put the lines between the page's markers."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    text = "\n".join([BEGIN, "", *lines, "", END])
    PAGE.write_text(f"{before}{text}{after}", encoding="utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=300, help="kills at random, over both experiments")
    parser.add_argument("--seed", type=int, default=0, help="of what is random")
    parser.add_argument("--no_page", action="store_true", help="print only; leave docs/reliability.md as it is")
    given = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="chaos_") as folder:
        with Lab(Path(folder) / "lab") as lab:
            report = Report(lab, given.seed)
            references = scenarios.references(lab)
            kill_at_random(report, references, given.kills)
            hit_every_operation(report)
            stop_by_signals(report, references)
            use_fresh_processes(report, references)
            caught = catch_mutants(Path(folder), lab.src, references)
    lines = list(tables(report, caught, time.monotonic() - started))
    print("\n".join(lines))
    if not given.no_page:
        write_page(lines)
    return int(bool(report.failures) or None in caught.values())


if __name__ == "__main__":
    os.environ["OMP_NUM_THREADS"] = "1"
    sys.exit(main())
