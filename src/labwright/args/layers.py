"""The layers of a configuration, laid one over the other: files, environment, flags. Everything wrong is collected."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from .cut import Cut, cut
from .draft import Draft
from .errors import ArgsError, UserError
from .files import load_file
from .json_text import Malformed, decode_json
from .names import Names, Target
from .node import Node
from .problems import explain, where
from .sources import Problem, Problems, Source
from .values import decode, decode_flag
from .wording import MASK, MAX_PROBLEMS, flag_key, nearest, not_one_of, one_line, quoted, shortened

FLAGS_ONLY = ("config", "print_config", "resume")


@dataclass(frozen=True)
class File:
    """A file of values; `schema` names the one configuration it may speak of (None: any)."""

    path: Path
    schema: str | None = None


class Layers:
    """The drafts of several configurations, and what is wrong with what was said about them."""

    def __init__(self, drafts: dict[str, Draft], env_prefix: str | None) -> None:
        self.drafts = drafts
        self.env_prefix = env_prefix
        self.problems: list[str] = []
        self._bad_paths: set[str] = set()
        self._unknown_variables: list[str] = []

    def apply_file(self, file: File) -> None:
        source = Source("file", str(file.path))
        try:
            data = load_file(file.path)
        except UserError as error:
            self.problems.append(str(error) if file.schema else f"--config: {error}")
            return
        problems: list[Problem] = []
        known: dict[str, dict[str, Any]] = {name: {} for name in self.drafts}
        for key, value in data.items():
            owner = self._owner(key)
            if key in FLAGS_ONLY:
                problems.append(Problem(key, "can only be given as a flag"))
            elif owner is None or (file.schema and owner != file.schema):
                problems.append(Problem(key, self._misplaced(key, owner, file.schema)))
            else:
                known[owner][key] = value
            if len(problems) > MAX_PROBLEMS:
                break
        for name, values in known.items():
            problems += self.drafts[name].merge(values, source)
        for problem in problems:
            self._complain(problem.key, source, str(problem))

    def apply_environment(self) -> None:
        if not self.env_prefix:
            return
        variables = [name for name in os.environ if name.startswith(self.env_prefix)]
        for variable in sorted(variables, key=lambda name: (name.count("__"), not name.endswith("__KIND"))):
            self._apply_variable(variable, os.environ[variable])

    def choose_variants(self, words: list[str]) -> Names:
        """Put the variants that flags name in force, outer ones first; the names of what is then in force."""
        while True:  # a round for each level of nesting
            names = Names(self.drafts.values())
            chosen: dict[str, tuple[Node, str]] = {}
            for word in cut(words, names).words:
                flag, _, text = word.partition("=")
                node = names.paths.get(flag_key(flag[2:])) if flag.startswith("--") else None
                part, kind = _chosen_kind(node, text) if node is not None else (None, None)
                if part is not None and kind in part.shape.variants:
                    chosen[part.path] = part, kind
            if not any([_switch(part, kind) for part, kind in chosen.values()]):
                return names

    def apply_flags(self, texts_by_flag: dict[str, list[str]], line: Cut) -> None:
        """Lay the flags over; `choose_variants` has put the variants they name in force."""
        for dest in sorted(texts_by_flag, key=lambda dest: dest.count(".")):
            self._apply_flag(line.targets[dest], texts_by_flag[dest])

    def _apply_flag(self, target: Target, texts: list[str]) -> None:
        node, text = target.node, texts[-1]
        source = Source("flag", f"--{target.dest}" if node.secret else one_line(f"--{target.dest}={text}"))
        if target.item is not None:
            self._try(node, source, text, lambda: self._set_item(target, source, text))
        elif node.path == "config":
            node.owner.set(node.name, texts, source, " ".join(texts))
        elif node.is_discriminator:
            self._check_kind(node, text, source)
        elif node.shape.is_value:
            self._try_set(node, source, texts)
        else:
            for word in _last_choice(texts, node):
                self._try_set(node, source, [word])

    def validate(self) -> dict[str, BaseModel]:
        """Pydantic's verdict on each draft.

        Raises:
            ArgsError: with every problem there was, in any layer.
        """
        models: dict[str, BaseModel] = {}
        for name, draft in self.drafts.items():
            try:
                models[name] = draft.model.model_validate(draft.raw())
            except ValidationError as error:
                self.problems += explain(draft, error, self._bad_paths)
        if self.problems:
            raise ArgsError(shortened(self.problems))
        return models

    def notes(self) -> list[str]:
        """What the user should know although nothing is wrong: overrides by the environment, deprecated names."""
        notes = [f"{variable} names no argument and is ignored" for variable in self._unknown_variables]
        for draft in self.drafts.values():
            for node in draft.walk():
                given = node.owner.given.get(node.name)
                child = node.owner.child(node.name) if node.shape.is_choice else None
                source = given.source if given else child.kind_source if child else None
                if source is not None and source.kind == "environment":
                    text = MASK if node.secret else one_line(given.text) if given else child.kind if child else ""
                    notes.append(f"{node.path}={text} comes from {source.label}")
                if given is not None and node.field.deprecation_message is not None:
                    notes.append(f"{where(node.path, given.source)} is deprecated: {node.field.deprecation_message}")
        return notes

    def _complain(self, path: str, source: Source, text: str) -> None:
        self.problems.append(f"{where(path, source)}: {text}")
        self._bad_paths.add(path)

    def _try_set(self, node: Node, source: Source, texts: list[str]) -> None:
        text = " ".join(texts)
        self._try(node, source, text, lambda: node.owner.set(node.name, decode_flag(texts, node), source, text))

    def _try(self, node: Node, source: Source, text: str, act: Callable[[], None]) -> None:
        try:
            act()
        except Problems as several:
            parent = node.path.removesuffix(node.name)
            for problem in several.problems:
                self._complain(parent + problem.key, source, str(problem))
        except Problem as problem:
            self._complain(node.path.removesuffix(node.name) + problem.key, source, str(problem))
        except Malformed as problem:
            self._complain(node.path, source, f"{MASK if node.secret else quoted(text)} {problem}")

    def _set_item(self, target: Target, source: Source, text: str) -> None:
        node = target.node
        node.owner.set_item(node.name, target.item or "", lambda annotation: decode(text, annotation), source, text)

    def _check_kind(self, node: Node, kind: str, source: Source) -> None:
        part = node.owner.place
        if part is not None and kind not in part.shape.variants:
            self._complain(node.path, source, not_one_of(kind, list(part.shape.variants)))
        elif kind == node.owner.kind:
            node.owner.kind_source = source

    def _owner(self, key: str) -> str | None:
        """The name of the schema that a top-level key belongs to."""
        return next((name for name, draft in self.drafts.items() if draft.find(key.partition(".")[0])), None)

    def _misplaced(self, key: str, owner: str | None, schema: str | None) -> str:
        if owner is not None:
            return f"is none of this file's settings ({schema}); it goes into a --config file or a flag"
        known = [self.drafts[schema]] if schema else self.drafts.values()
        guess = nearest(key, [name for draft in known for name in draft.nodes])
        return f"unknown key{f'; did you mean {guess}?' if guess else ''}"

    def _variable(self, node: Node) -> str:
        """The environment variable that sets `node`."""
        return f"{self.env_prefix}{node.path.replace('.', '__').upper()}"

    def _apply_variable(self, variable: str, text: str) -> None:
        path = variable.removeprefix(self.env_prefix or "").lower().replace("__", ".")
        source = Source("environment", variable)
        names = Names(self.drafts.values())
        node = next((node for key, node in names.paths.items() if key.lower() == path), None)
        if node is None:
            full = [self._variable(leaf) for leaf in names.leaves.get(path, [])]
            wrong = (
                f"a variable needs the whole name: {' or '.join(full)}" if full else names.other_variant(path, source)
            )
            if wrong:
                self._complain(path, source, wrong)
            else:
                self._unknown_variables.append(variable)
        elif node.path in FLAGS_ONLY:
            self._complain(node.path, source, "can only be given as a flag")
        elif node.is_discriminator and node.owner.place is not None:
            self._try_set(node.owner.place, source, [text])
        else:
            self._try_set(node, source, [text])


def _switch(part: Node, kind: str) -> bool:
    """Put the variant `kind` in force; whether it was not before."""
    child = part.owner.child(part.name)
    if child is not None and child.kind == kind:
        return False
    part.owner.choose(part.name, kind, Source("flag", f"--{part.path}={kind}"))
    return True


def _chosen_kind(node: Node, text: str) -> tuple[Node | None, str | None]:
    """The part and the kind which `--node=text` names, if it names one."""
    if node.is_discriminator:
        return node.owner.place, text
    return node, _named_kind(node, text) if node.shape.is_choice else None


def _named_kind(part: Node, text: str) -> str | None:
    """The kind that a word or a JSON object given for `part` names."""
    if not text.startswith("{"):
        return text
    try:
        kind = decode_json(text).get(part.shape.discriminator)
    except Malformed:
        return None
    return None if kind is None else str(kind)


def _last_choice(texts: list[str], part: Node) -> list[str]:
    """The texts given for a part without those which the last choice made void."""
    if not part.shape.is_choice:
        return texts
    kinds = [_named_kind(part, text) for text in texts]
    last = next((kind for kind in reversed(kinds) if kind is not None), None)
    return [text for text, kind in zip(texts, kinds, strict=True) if kind in (None, last)]
