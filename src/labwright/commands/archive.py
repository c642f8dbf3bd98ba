"""Take runs out of sight, their files untouched: runs --all still lists them; --undo brings them back."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from labwright.runs.listing.find import MEANINGS, find_runs
from labwright.runs.listing.notes import read_notes, write_notes

from .base import Project


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("runs", nargs="+", metavar="RUN", help=f"{MEANINGS}; or a filter, which means all it fits")
    parser.add_argument("--undo", action="store_true", help="show them again")


def run(given: Namespace, project: Project) -> None:
    for found in find_runs(given.runs, project.results_dir):
        write_notes(found, replace(read_notes(found), archived=not given.undo))
        print(f"{found.path.name}: {'back in the list' if given.undo else 'archived'}")
