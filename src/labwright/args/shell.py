"""Static completion scripts for bash and zsh, made from the same schema as everything else."""

from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from .annotations import choices, is_bool
from .draft import Draft
from .errors import UserError
from .names import Names
from .parser import build_parser


def completion(model: type[BaseModel], *, prog: str, shell: Literal["bash", "zsh"] = "bash") -> str:
    """A shell script that completes the flags of `model` and their choices."""
    return script(completion_parser({"arguments": model}, prog=prog), shell)


def completion_parser(schemas: Mapping[str, type[BaseModel]], *, prog: str) -> ArgumentParser:
    """The parser of `schemas`, its flags knowing their choices."""
    names = Names([Draft(model) for model in schemas.values()])
    parser = build_parser(names, list(schemas), prog=prog)
    for action in parser._actions:
        node = names.paths.get(action.dest)
        if node is not None:
            known = [str(value) for value in choices(node.field.annotation)] or list(filter(None, node.shape.variants))
            action.choices = [*known, *(["true", "false"] if is_bool(node.field.annotation) else [])] or None
    return parser


def script(parser: ArgumentParser, shell: str) -> str:
    """The completion script of any argparse parser.

    Raises:
        UserError: shtab is not installed.
    """
    try:
        import shtab
    except ImportError:
        raise UserError("completion scripts need shtab: pip install shtab") from None
    return shtab.complete(parser, shell=shell)


Commands = Mapping[str, "ArgumentParser | Commands"]
"""What may stand first, with the parser of what follows, or what may stand second."""


def add_ids(parser: ArgumentParser, commands: "Commands", experiment_ids: Sequence[str]) -> None:
    """Let `parser` know the commands with their flags, and the experiment ids, so that they complete too."""
    _add_commands(parser, commands)
    for action in parser._actions:
        if action.dest == "experiment_id":
            action.choices = [*experiment_ids]


def _add_commands(parser: ArgumentParser, commands: "Commands") -> None:
    subparsers = parser.add_subparsers(metavar="command", parser_class=ArgumentParser)
    for name, following in commands.items():  # shtab leaves out those without a help text
        if isinstance(following, ArgumentParser):
            about = following.description or name
            subparsers.add_parser(name, parents=[following], help=about, description=about, add_help=False)
        else:
            _add_commands(subparsers.add_parser(name, help=name), following)
