"""Static completion scripts for bash and zsh, made from the same schema as everything else."""

import re
import shlex
from argparse import ArgumentParser
from collections.abc import Mapping, Sequence
from typing import Literal

from pydantic import BaseModel

from .annotations import choices, is_bool
from .draft import Draft
from .errors import UserError
from .names import Names
from .parser import build_parser

_BEHIND_PYTHON = """
# `python SCRIPT ...` completes as `SCRIPT ...` does, whatever else follows python as it did before.
COMPLETE_behind_python() {
  local before="COMPLETE_before_${1##*/}"
  if (( COMP_CWORD > 1 )) && [[ ${COMP_WORDS[1]##*/} == SCRIPT ]]; then
    COMP_WORDS=("${COMP_WORDS[@]:1}")
    (( COMP_CWORD -= 1 ))
    COMPLETE
  elif [[ -n ${!before-} ]]; then
    "${!before}" "$@"
  fi
}

COMPLETE_take_python() {
  local known load
  # what the bash-completion package would read at the first use, and put in the place of this
  for load in _comp_load _completion_loader; do
    complete -p "$1" || { declare -F "$load" && "$load" "$1"; }
  done
  known=$(complete -p "$1")
  if [[ -z $known ]]; then
    complete -o bashdefault -o default -F COMPLETE_behind_python "$1"
  elif [[ $known =~ ' -F '([^ ]+) && ${BASH_REMATCH[1]} != COMPLETE_behind_python ]]; then
    printf -v "COMPLETE_before_$1" %s "${BASH_REMATCH[1]}"
    eval "${known/ -F ${BASH_REMATCH[1]}/ -F COMPLETE_behind_python}"
  fi
}

COMPLETE_take_python python > /dev/null 2>&1
COMPLETE_take_python python3 > /dev/null 2>&1
"""


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
    text: str = shtab.complete(parser, shell=shell)
    return text + _behind_python(text, parser.prog) if shell == "bash" and parser.prog.endswith(".py") else text


def _behind_python(text: str, prog: str) -> str:
    """What has bash complete `python run.py` like `run.py`, as zsh does by itself; `text` is the script so far."""
    found = re.search(r"^complete .*-F (\w+) ", text, re.MULTILINE)
    assert found is not None
    return _BEHIND_PYTHON.replace("COMPLETE", found[1]).replace("SCRIPT", shlex.quote(prog))


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
