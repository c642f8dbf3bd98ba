"""Floor 4: `run.py COMMAND`, a module for each command, imported when it is typed."""

from argparse import ArgumentParser
from collections.abc import Sequence
from importlib import import_module

from .base import Project, as_module, command_parser, run_command
from .data import run_verb, verb_parsers

TOOLS: dict[str, str] = {
    "bench": "the speed of an experiment's training loop, and what slows it: bench ID [--flag=value ...]",
    "lr-find": "find a learning rate, and draw the loss at each: lr-find ID [--flag=value ...]",
    "batch-find": "find the largest batch that fits and the fastest: batch-find ID [--flag=value ...]",
}
"""Each command that tries an experiment out; the module of this room that does it has its name, with _ for -."""
COMMANDS: dict[str, str] = {
    "runs": "list runs: runs ['val/accuracy>0.9 and model.kind==\"mlp\"'] [--sort=...] [--json]",
    "show": "show one run: show RUN",
    "compare": "compare runs, and draw their histories: compare RUN RUN ...",
    "diff": "what differs between two runs, code included: diff RUN RUN",
    "diverge": "the first step at which two runs differ, and in what: diverge RUN RUN",
    "verify": "prove that a run resumes exactly: verify RUN",
    "reproduce": "run the recorded code again and compare: reproduce RUN",
    "checkout": "restore the code of a run: checkout RUN [DIR]",
    "tag": "add or remove words to find runs by: tag RUN WORD ... [--remove=WORD]",
    "note": "write a note on a run: note RUN TEXT",
    "archive": "hide runs from the list, or show them again: archive RUN ... [--undo]",
    "delete": "delete runs and free their disk space: delete RUN ...",
    "export": "write the histories of runs as CSV: export RUN ... [--output=FILE]",
    "data": "datasets in tar shards: data pack|info|ls|cat|preview|verify|index|convert|split",
    **TOOLS,
}
"""Each command and what it does; the module of this room that does it has its name."""


def parsers(prog: str) -> dict[str, ArgumentParser | dict[str, ArgumentParser]]:
    """The parser of each command with flags of its own; of `data`, those of its verbs. For completion."""
    own = [name for name in COMMANDS if name not in TOOLS and name != "data"]
    found = {name: command_parser(name, as_module(import_module(f".{name}", __name__)), prog) for name in own}
    return {**found, "data": verb_parsers(prog)}


def run(name: str, words: Sequence[str], project: Project) -> int:
    """Do a command with these words; its exit code."""
    if name == "data":
        return run_verb(words, project)
    module = import_module(f".{name.replace('-', '_')}", __name__)
    if name in TOOLS:
        from .tool import as_tool, run_tool  # models of their flags, which no run has

        return run_tool(name, as_tool(module), words, project)
    return run_command(name, as_module(module), words, project)
