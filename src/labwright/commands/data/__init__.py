"""`run.py data VERB`: datasets of tar shards. A module for each verb, imported when it is typed."""

from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from labwright.args.errors import UserError
from labwright.args.wording import not_one_of

from ..base import CommandModule, Project, as_module, command_parser

VERBS: dict[str, str] = {
    "pack": "make shards of files: pack SOURCE DEST",
    "info": "what a dataset holds: info PATH",
    "ls": "list its samples: ls PATH [--long]",
    "cat": "print one field of a sample: cat PATH KEY.FIELD",
    "preview": "draw a contact sheet: preview PATH [--output=sheet.png]",
    "verify": "check every byte: verify PATH ...",
    "index": "make the index anew from the tar files: index PATH",
    "convert": "make labwright shards of quix or WebDataset ones: convert SOURCE DEST",
    "split": "divide a dataset into train, val and test: split PATH DEST",
}
"""Each verb and what it does; the module of this room that does it has its name."""


def run_verb(words: Sequence[str], project: Project) -> int:
    """Do the verb that the first word names with the others; its exit code."""
    if not words or words[0] in ("-h", "--help"):
        print(_overview(project.prog))
        return 0
    verb = words[0]
    if verb not in VERBS:
        raise UserError(f"data: {not_one_of(verb, list(VERBS))}")
    module = _module(verb)
    parser = command_parser(f"data {verb}", module, project.prog)
    given = parser.parse_words(words[1:])
    try:
        return module.run(given, project) or 0
    except BrokenPipeError:
        raise
    except OSError as error:  # a full disk, a file that may not be read
        raise UserError(f"data {verb}: {error.filename or 'the output'}: {error.strerror or error}") from error


def verb_parsers(prog: str) -> dict[str, ArgumentParser]:
    """The parser of each verb, for completion."""
    return {verb: command_parser(f"data {verb}", _module(verb), prog) for verb in VERBS}


def _module(verb: str) -> CommandModule:
    return as_module(import_module(f".{verb}", __name__))


def _overview(prog: str) -> str:
    width = max(map(len, VERBS))
    listed = "\n".join(f"  {verb:<{width}}  {description}" for verb, description in VERBS.items())
    return (
        f"usage: {prog} data VERB ...\n\n"
        "Datasets in plain tar shards. PATH is a directory of shards (labwright's, quix's or WebDataset's),\n"
        f"a tar file, or a pattern of tar files.\n\nverbs:\n{listed}\n\nThe flags of a verb: {prog} data VERB --help"
    )
