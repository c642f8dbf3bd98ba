"""What every command has: its flags, and the project it is typed in."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, Protocol, cast

from labwright.args.errors import UserError
from labwright.args.machine import MachineConfig, config_path
from labwright.args.registry import Registry
from labwright.project import read_machine


@dataclass(frozen=True)
class Project:
    """Where a command is typed: what it is called with, the experiments, and the machine's configuration."""

    prog: str
    """`run.py` or `labwright`."""
    load_registry: Callable[[], Registry]
    machine_model: type[MachineConfig] = MachineConfig
    results_dir_given: Path | None = None

    @cached_property
    def registry(self) -> Registry:
        return self.load_registry()

    @cached_property
    def machine(self) -> MachineConfig:
        """As config.yaml, the environment and `--results_dir` say."""
        machine = read_machine(self.machine_model, config_path())
        given = self.results_dir_given
        return machine if given is None else machine.model_copy(update={"results_dir": given.expanduser().absolute()})

    @property
    def results_dir(self) -> Path:
        return self.machine.results_dir


class CommandModule(Protocol):
    """A module of this room: the first line of its docstring is the command's help.

    Completion imports all of them for their flags; so what takes long to import is imported where it is used.
    """

    __doc__: str | None

    def add_flags(self, parser: ArgumentParser) -> None:
        """Declare what the command takes."""
        ...

    def run(self, given: Namespace, project: Project) -> int | None:
        """Do it; the exit code, None for 0. A UserError is one line on stderr and exit 2."""
        ...


class CommandParser(ArgumentParser):
    """One line for a mistake, as everywhere else; `-` and `_` in flags are the same."""

    def error(self, message: str) -> NoReturn:
        raise UserError(f"{self.prog.partition(' ')[2]}: {message}; see {self.prog} --help")

    def parse_words(self, words: Sequence[str]) -> Namespace:
        return self.parse_args([_underscored(word) for word in words])


def _underscored(word: str) -> str:
    flag, equals, value = word.partition("=")
    return flag[:2] + flag[2:].replace("-", "_") + equals + value if word.startswith("--") and flag != "--" else word


def command_parser(name: str, module: CommandModule, prog: str) -> CommandParser:
    """The parser of the command `name`, with the flags that its module declares."""
    parser = CommandParser(
        prog=f"{prog} {name}",
        description=(module.__doc__ or "").strip().splitlines()[0],
        allow_abbrev=False,
    )
    module.add_flags(parser)
    return parser


def run_command(name: str, module: CommandModule, words: Sequence[str], project: Project) -> int:
    """Read `words` as the command's and do it; its exit code."""
    parser = command_parser(name, module, project.prog)
    parser.add_argument("--results_dir", type=Path, metavar="DIR", help="where the runs are (default: config.yaml's)")
    given = parser.parse_words(words)
    chosen = Project(project.prog, project.load_registry, project.machine_model, given.results_dir)
    return module.run(given, chosen) or 0


def confirmed(question: str) -> bool:
    """Whether the user says yes at the terminal; where nobody can answer, a UserError that says to add --yes."""
    if not sys.stdin.isatty():
        raise UserError(f"{question} There is no terminal to ask at: add --yes")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def as_module(module: Any) -> CommandModule:
    return cast(CommandModule, module)
