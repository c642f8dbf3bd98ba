"""The first step at which two runs differ, and in what: data order, randomness or weights; exit code 1 if they do."""

from argparse import ArgumentParser, Namespace

from labwright.runs.durable import strict_json
from labwright.runs.listing.find import MEANINGS, find_run

from .base import Project


def add_flags(parser: ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument("runs", nargs=2, metavar="RUN", help=MEANINGS)
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(given: Namespace, project: Project) -> int:
    """Print the verdict; 0: identical, 1: not."""
    from labwright.runs.proof.divergence import compare_runs

    a, b = (find_run(text, project.results_dir) for text in given.runs)
    divergence = compare_runs(a, b)
    if given.json:
        runs = [str(a.path), str(b.path)]
        print(strict_json({"runs": runs, **divergence.to_json()}, indent=2).decode())
    else:
        print("\n".join([f"{a.path.name} | {b.path.name}", *divergence.lines()]))
    return 0 if divergence.is_identical else 1
