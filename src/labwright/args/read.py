"""argv, environment and files -> validated configurations.

    defaults  <  files  <  environment  <  flags

Variants are chosen first, then names are resolved, then argparse cuts the line, then Pydantic judges.
"""

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from .annotations import is_mapping, is_model, is_sequence, item_type, union_members
from .cut import Cut, cut
from .draft import MASK, Draft, Node, Problem, Problems, Source, nearest, quoted
from .errors import ArgsError, UserError
from .files import load_file
from .names import Names, Target
from .parser import build_parser
from .problems import explain, where
from .values import Malformed, decode, decode_json, decode_sequence

ModelT = TypeVar("ModelT", bound=BaseModel)
_CONTROLS = frozenset({"-h", "--help", "--config", "--print_config", "--print-config"})


@dataclass(frozen=True)
class File:
    """A file of values; `schema` names the one configuration it may speak of (None: any)."""

    path: Path
    schema: str | None = None


@dataclass(frozen=True)
class Reading:
    """Validated configurations by schema name, the drafts that know every value's source, and notes for stderr."""

    models: dict[str, BaseModel]
    drafts: dict[str, Draft]
    notes: list[str]
    print_config: bool
    rest: list[str]
    """What the line held besides flags, where the caller allowed it."""


def parse(
    model: type[ModelT],
    argv: Sequence[str] | None = None,
    *,
    prog: str | None = None,
    env_prefix: str | None = None,
    parser: ArgumentParser | None = None,
) -> ModelT:
    """An instance of `model` from the command line.

    `--config` files, environment variables `<env_prefix><PATH>` (dots written as `__`) and flags are layered over the
    defaults. `--help` and `--print_config` print and exit 0; anything wrong is printed, all at once, and exits 2.
    `parser` is an ArgumentParser of your own whose flags may stand on the same line.
    """
    prog = prog or Path(sys.argv[0]).name
    try:
        reading = read({"arguments": model}, argv, prog=prog, env_prefix=env_prefix, parser=parser)
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
    parser: ArgumentParser | None = None,
    usage: str | None = None,
) -> Reading:
    """Read several configurations with disjoint names from one command line.

    Raises:
        ArgsError: anything is wrong; it holds one line for each problem.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    drafts = {name: Draft(model) for name, model in schemas.items()}
    reader = _Reader(drafts, env_prefix)
    for file in [*files, *(File(Path(name)) for name in flag_values(words, "config"))]:
        reader.apply_file(file)
    reader.apply_environment()
    names = reader.choose_variants(words)
    also = frozenset(_own_options(parser)) | (_CONTROLS - {f"--{key}" for key in names.paths})
    line = cut(words, names, also=also)
    reader.problems += line.problems
    titles = list(schemas)
    built = build_parser(names, titles, prog=prog, seen=line, base=parser)
    if usage is not None:
        built.usage = usage
    namespace, rest = built.parse_known_args(line.words)
    flags: dict[str, Any] = vars(namespace)
    if flags.pop("help", False):
        built.print_help()
        raise SystemExit(0)
    reader.apply_flags(flags, line)
    reader.problems += [_unexpected(word) for word in rest]
    models = reader.validate()
    print_config = bool(flags.get("print_config"))
    return Reading(models, drafts, reader.notes(), print_config, rest)


def flag_values(words: Sequence[str], name: str) -> list[str]:
    """The values of `--name=v` and `--name v`, before anything else about the line is known."""
    found: list[str] = []
    for position, word in enumerate(words):
        flag, equals, value = word.partition("=")
        if flag.replace("-", "_") == f"__{name}":
            following = words[position + 1 : position + 2]
            found += [value] if equals else [word for word in following if not word.startswith("-")]
    return found


def _own_options(parser: ArgumentParser | None) -> list[str]:
    return [option for action in parser._actions for option in action.option_strings] if parser else []  # pyright: ignore[reportPrivateUsage]


def _unexpected(word: str) -> str:
    return f"unexpected argument {quoted(word)}; flags are written --name=value"


class _Reader:
    """The layers, applied one after the other; everything wrong is collected."""

    def __init__(self, drafts: dict[str, Draft], env_prefix: str | None) -> None:
        self.drafts = drafts
        self.env_prefix = env_prefix
        self.problems: list[str] = []
        self.bad_paths: set[str] = set()
        self.unknown_variables: list[str] = []
        self.deprecated: dict[str, str] = {}

    def _complain(self, path: str, source: Source, text: str) -> None:
        self.problems.append(f"{where(path, source)}: {text}")
        self.bad_paths.add(path)

    def _try_set(self, node: Node, source: Source, text: str, value: Callable[[], Any]) -> None:
        try:
            node.owner.set(node.name, value(), source, text)
        except Problems as several:
            for problem in several.problems:
                parent = node.path.removesuffix(node.name)
                self._complain(parent + problem.key, source, str(problem))
        except Problem as problem:
            self._complain(node.path, source, str(problem))
        except Malformed as problem:
            shown = MASK if node.secret else quoted(text)
            self._complain(node.path, source, f"{shown} {problem}")

    def apply_file(self, file: File) -> None:
        source = Source("file", str(file.path))
        try:
            data = load_file(file.path)
        except UserError as error:
            self.problems.append(str(error) if file.schema else f"--config: {error}")
            return
        for key, value in data.items():
            if key in ("config", "print_config"):
                self._complain(key, source, "can only be given as a flag")
                continue
            draft = self._owner(key, file.schema)
            for problem in draft.merge({key: value}, source):
                self._complain(
                    problem.key, source, str(problem) if draft.find(key.partition(".")[0]) else self._unknown(key)
                )

    def _owner(self, key: str, schema: str | None) -> Draft:
        """The draft that a top-level key belongs to; the first one if it belongs to none."""
        candidates = [self.drafts[schema]] if schema else list(self.drafts.values())
        return next((draft for draft in candidates if draft.find(key.partition(".")[0])), candidates[0])

    def _unknown(self, key: str) -> str:
        guess = nearest(key, [name for draft in self.drafts.values() for name in draft.nodes])
        return f"unknown key{f'; did you mean {guess}?' if guess else ''}"

    def apply_environment(self) -> None:
        if not self.env_prefix:
            return
        variables = [name for name in os.environ if name.startswith(self.env_prefix)]
        for variable in sorted(variables, key=lambda name: name.count("__")):
            node = self._find_path(variable.removeprefix(self.env_prefix).lower().split("__"))
            if node is None:
                self.unknown_variables.append(variable)
                continue
            text = os.environ[variable]
            self._try_set(
                node, Source("environment", variable), text, lambda node=node, text=text: _value([text], node)
            )

    def _find_path(self, parts: list[str]) -> Node | None:
        for start in self.drafts.values():
            draft: Draft | None = start
            node = None
            for part in parts:
                node = next((n for n in draft.nodes.values() if n.name.lower() == part), None) if draft else None
                if node is None:
                    break
                draft = None if node.shape.is_value else node.owner.child(node.name)
            if node is not None:
                return node
        return None

    def choose_variants(self, words: list[str]) -> Names:
        """Put the variants that flags name in force, outer ones first; the names of what is then in force."""
        for _ in range(10):  # one round per level of nesting
            names = Names(self.drafts.values())
            chosen: dict[str, tuple[Node, str]] = {}
            for word in cut(words, names).words:
                flag, _, text = word.partition("=")
                node = names.paths.get(flag.removeprefix("--").replace("-", "_"))
                found = _chosen_kind(node, text, names) if node is not None and flag.startswith("--") else None
                if found is not None:
                    chosen[found[0].path] = found
            if not any(self._switch(node, kind) for node, kind in chosen.values()):
                break
        return Names(self.drafts.values())

    def _switch(self, node: Node, kind: str) -> bool:
        child = node.owner.child(node.name)
        if kind not in node.shape.variants or (child is not None and child.model is node.shape.variants[kind]):
            return False
        node.owner.choose(node.name, kind, Source("flag", f"--{node.path}={kind}"))
        return True

    def apply_flags(self, flags: dict[str, Any], line: Cut) -> None:
        for dest in sorted(flags, key=lambda dest: dest.count(".")):
            target = line.targets.get(dest)
            if target is None:
                continue
            texts: list[str] = flags[dest]
            node, source = (
                target.node,
                Source("flag", f"--{dest}={texts[-1]}" if not target.node.secret else f"--{dest}"),
            )
            if target.item is not None:
                self._try_set(node, source, texts[-1], lambda target=target, text=texts[-1]: _with_item(target, text))
            elif node.shape.is_value:
                self._try_set(node, source, " ".join(texts), lambda node=node, texts=texts: _value(texts, node))
            else:
                for text in texts:
                    self._try_set(node, source, text, lambda node=node, text=text: _value([text], node))

    def validate(self) -> dict[str, BaseModel]:
        models: dict[str, BaseModel] = {}
        for name, draft in self.drafts.items():
            try:
                models[name] = draft.model.model_validate(draft.raw())
            except ValidationError as error:
                self.problems += explain(draft, error, self.bad_paths)
        if self.problems:
            raise ArgsError(self.problems)
        return models

    def notes(self) -> list[str]:
        """What the user should know although nothing is wrong: overrides by the environment, deprecated names."""
        notes = [f"{variable} names no argument and is ignored" for variable in self.unknown_variables]
        for draft in self.drafts.values():
            for node in draft.walk():
                given = node.owner.given.get(node.name)
                source = given.source if given else node.owner.source_of(node.name)
                if source.kind == "environment" and (given or node.shape.is_choice):
                    kind = node.owner.child(node.name)
                    text = MASK if node.secret else given.text if given else kind.kind if kind else ""
                    notes.append(f"{node.path}={text} comes from {source.label}")
                if given is not None and node.field.deprecated and source.kind != "default":
                    notes.append(f"--{node.path} is deprecated: {node.field.deprecated}")
        return notes


def _chosen_kind(node: Node, text: str, names: Names) -> tuple[Node, str] | None:
    """The choice and the kind which `--node=text` names, if it names one."""
    if node.shape.is_choice:
        if not text.startswith("{"):
            return node, text
        try:
            data = decode_json(text)
        except Malformed:
            return None
        kind = data.get(node.shape.discriminator)
        return (node, str(kind)) if kind is not None else None
    parent = names.paths.get(node.path.rpartition(".")[0].replace("-", "_"))
    return (parent, text) if parent is not None and parent.shape.discriminator == node.name else None


def _value(texts: list[str], node: Node) -> Any:
    """The texts given for a field in the form that its type asks for; of several for a single value the last wins."""
    if not node.shape.is_value:
        text = texts[-1]
        return (
            decode_json(text)
            if text.startswith("{")
            else decode(text, node.field.annotation)
            if _is_none(text, node)
            else text
        )
    members = union_members(node.field.annotation)
    sequence = next((member for member in members if is_sequence(member)), None)
    if sequence is not None and len(texts) > 1:
        return decode_sequence(texts, sequence)
    return decode(texts[-1], node.field.annotation)


def _is_none(text: str, node: Node) -> bool:
    return node.shape.optional and text.lower() in ("none", "null")


def _with_item(target: Target, text: str) -> dict[str, Any]:
    """The mapping now in force with one more item: `--weights.a=1`, `--groups.head.learning_rate=0.1`."""
    node, item = target.node, target.item or ""
    current: Any = node.owner.given[node.name].value if node.name in node.owner.given else node.default()
    result: dict[str, Any] = dict(current) if isinstance(current, Mapping) else {}  # pyright: ignore[reportUnknownArgumentType]
    mapping = next(member for member in union_members(node.field.annotation) if is_mapping(member))
    inner = item_type(mapping, 0) if len(getattr(mapping, "__args__", ())) < 2 else mapping.__args__[1]
    key, dot, leaf = item.rpartition(".")
    if is_model(inner) and dot:
        entry: Any = result.get(key, {})
        entry = entry.model_dump(exclude_unset=True) if isinstance(entry, BaseModel) else dict(entry)
        field = inner.model_fields.get(leaf)
        result[key] = entry | {leaf: decode(text, field.annotation) if field else text}
    else:
        result[item] = decode(text, inner)
    return result
