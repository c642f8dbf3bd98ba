"""Add words to a run, or remove them, to find it by: runs --tag=WORD."""

from argparse import ArgumentParser, Namespace

from labwright.args.errors import UserError
from labwright.args.wording import quoted
from labwright.runs import redact_text
from labwright.runs.listing.find import MEANINGS, find_run
from labwright.runs.listing.notes import read_notes, write_notes
from labwright.runs.listing.summary import summarize
from labwright.session.secrets import secrets_of

from .base import Project


def add_flags(parser: ArgumentParser) -> None:
    parser.add_argument("run", metavar="RUN", help=MEANINGS)
    parser.add_argument("words", nargs="*", metavar="WORD", help="tags to add")
    parser.add_argument("--remove", action="append", default=[], metavar="WORD", help="a tag to remove; repeatable")


def run(given: Namespace, project: Project) -> None:
    """Change the tags, without the machine's secrets, and print those that there are now."""
    found = find_run(given.run, project.results_dir)
    notes = read_notes(found)
    tags = summarize(found.path).tags
    for word in given.remove:
        if word not in tags:
            raise UserError(f"tag: {found.path.name} has no tag {quoted(word)}; it has: {', '.join(tags) or 'none'}")
    both = set(given.words) & set(given.remove)
    if both:
        raise UserError(f"tag: {', '.join(sorted(both))}: to be added and removed; leave one out")
    secrets = secrets_of(project.machine)
    changed = notes.with_tags([redact_text(word, secrets) for word in given.words], given.remove)
    if changed != notes:
        write_notes(found, changed)
    print(f"{found.path.name}: {', '.join(summarize(found.path).tags) or 'no tags'}")
