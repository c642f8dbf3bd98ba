"""argv, environment and files -> validated configurations.

    defaults  <  files  <  environment  <  flags

Variants are chosen first, then names are resolved, then argparse cuts the line, then Pydantic judges.
"""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel

from .cut import cut
from .draft import Draft
from .errors import ArgsError, UserError
from .experiment import refuse_shared_names
from .layers import File as File
from .layers import Layers
from .names import Names
from .parser import build_parser
from .wording import flag_key, quoted

ModelT = TypeVar("ModelT", bound=BaseModel)
_CONTROLS = frozenset({"-h", "--help", "--config", "--print_config", "--print-config"})


@dataclass(frozen=True)
class Reading:
    """Validated configurations by schema name, the drafts that know every value's source, and notes for stderr."""

    models: dict[str, BaseModel]
    drafts: dict[str, Draft]
    notes: list[str]
    print_config: bool


def parse(
    model: type[ModelT],
    argv: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    env_prefix: str | None = None,
    parser: ArgumentParser | None = None,
    namespace: Namespace | None = None,
) -> ModelT:
    """An instance of `model` from the command line.

    `--config` files, environment variables `<env_prefix><PATH>` (dots written as `__`) and flags are layered over the
    defaults. `--help` and `--print_config` print and exit 0; anything wrong is printed, all at once, and exits 2.
    `parser` is an ArgumentParser of your own whose arguments may stand on the same line; as with its own `parse_args`,
    their values are put on `namespace`.
    """
    prog = prog or Path(sys.argv[0]).name
    try:
        reading = read({"arguments": model}, argv, prog=prog, env_prefix=env_prefix, parser=parser, namespace=namespace)
    except UserError as error:
        fail(prog, error)
    for note in reading.notes:
        print(f"{prog}: note: {note}", file=sys.stderr)
    if reading.print_config:
        from .show import config_yaml

        print(config_yaml(reading), end="")
        raise SystemExit(0)
    result = reading.models["arguments"]
    assert isinstance(result, model)
    return result


def fail(prog: str, error: UserError) -> NoReturn:
    """Print every line of `error` and exit 2."""
    lines = error.lines if isinstance(error, ArgsError) else [str(error)]
    for line in lines:
        print(f"{prog}: error: {line}", file=sys.stderr)
    raise SystemExit(2)


def read(
    schemas: Mapping[str, type[BaseModel]],
    argv: Sequence[str] | None = None,
    *,
    prog: str = "run.py",
    env_prefix: str | None = None,
    files: Sequence[File] = (),
    recorded: File | None = None,
    parser: ArgumentParser | None = None,
    namespace: Namespace | None = None,
    usage: str | None = None,
) -> Reading:
    """Read several configurations with disjoint names from one command line.

    `recorded` is what had been read for a run that goes on: the environment does not count against it.

    Raises:
        ArgsError: anything is wrong; it holds one line for each problem.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    refuse_shared_names(*schemas.values())
    drafts = {name: Draft(model) for name, model in schemas.items()}
    layers = Layers(drafts, env_prefix)
    chosen = [File(Path(name)) for name in flag_values(words, "config")]
    for file in files if recorded else [*files, *chosen]:
        layers.apply_file(file)
    layers.apply_environment()
    for file in [recorded, *chosen] if recorded else []:
        layers.apply_file(file)
    names = layers.choose_variants(words)
    line = cut(words, names, also=_argparse_options(parser, names))
    layers.problems += line.problems
    built = build_parser(names, list(schemas), prog=prog, seen=line, own=parser)
    built.usage = usage or built.usage
    parsed, rest = built.parse_known_args(line.words)
    found = vars(parsed)
    if found.pop("help", False):
        built.print_help()
        raise SystemExit(0)
    layers.problems += [f"unexpected argument {quoted(word)}; flags are written --name=value" for word in rest]
    layers.apply_flags({dest: found.pop(dest) for dest in line.targets if dest in found}, line)
    models = layers.validate()
    print_config = any(getattr(model, "print_config", False) for model in models.values())
    print_config |= bool(found.pop("print_config", False))
    found.pop("config", None)
    vars(namespace or Namespace()).update(found)
    return Reading(models, drafts, layers.notes(), print_config)


def flag_values(words: Sequence[str], name: str) -> list[str]:
    """The values of `--name=v` and `--name v`, before anything else about the line is known."""
    found: list[str] = []
    for position, word in enumerate(words):
        if word == "--":
            break
        flag, equals, value = word.partition("=")
        if flag_key(flag) == f"__{name}":
            following = words[position + 1 : position + 2]
            found += [value] if equals else [word for word in following if not word.startswith("-")]
    return found


def _argparse_options(parser: ArgumentParser | None, names: Names) -> frozenset[str]:
    """The option strings that argparse itself knows: the general ones, and those of the caller's parser."""
    own = parser._option_string_actions if parser else ()
    return frozenset(own) | (_CONTROLS - {f"--{key.replace('_', dash)}" for key in names.paths for dash in "-_"})
