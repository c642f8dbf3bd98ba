"""Write a note on a run; an empty text removes it."""

from argparse import ArgumentParser, Namespace
from dataclasses import replace

from labwright.args.wording import one_line
from labwright.runs import redact_text
from labwright.runs.listing.find import MEANINGS, find_run
from labwright.runs.listing.notes import read_notes, write_notes
from labwright.session.secrets import secrets_of

from .base import Project


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=MEANINGS)
    parser.add_argument("text", nargs="*", metavar="TEXT", help="what to remember; left out: show the note")


def run(given: Namespace, project: Project) -> None:
    """Replace the note if there is a text, without the machine's secrets, and print the note there is now."""
    found = find_run(given.run, project.results_dir)
    notes = read_notes(found)
    if given.text:
        text = redact_text(" ".join(given.text).strip(), secrets_of(project.machine))
        notes = replace(notes, note=text or None)
        write_notes(found, notes)
    print(f"{found.path.name}: {one_line(notes.note or 'no note', 1000)}")
