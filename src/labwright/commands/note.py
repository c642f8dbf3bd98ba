"""Write a note on a run; an empty text removes it."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from labwright.args.wording import one_line
from labwright.runs.find import MEANINGS, find_run
from labwright.runs.notes import read_notes, write_notes

from .base import Project


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=MEANINGS)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="what to remember; left out: show the note")


def run(given: Namespace, project: Project) -> None:
    """Replace the note if there is a text, and print the note there is now."""
    found = find_run(given.run, project.results_dir)
    notes = read_notes(found)
    if given.text:
        notes = replace(notes, note=" ".join(given.text).strip() or None)
        write_notes(found, notes)
    print(f"{found.path.name}: {one_line(notes.note or 'no note', 1000)}")
