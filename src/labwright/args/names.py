"""Which flag means which field: true names, short names, and the nearest names to a typo."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from .annotations import holds_items, is_bool
from .draft import Draft
from .items import locate_item
from .node import Node, other_variant
from .sources import Source
from .wording import flag_key, nearest

_RESERVED = frozenset({"h", "help", "config", "print_config"})
"""Flags with a meaning of their own: as the last part of a path they are no short names."""


@dataclass(frozen=True)
class Target:
    """What a flag names: a field, or one key of a field that holds a mapping."""

    node: Node
    item: str | None = None
    negated: bool = False

    @property
    def dest(self) -> str:
        return self.node.path if self.item is None else f"{self.node.path}.{self.item}"

    @property
    def annotation(self) -> Any:
        """The type of the value that the flag takes."""
        annotation = self.node.field.annotation
        return annotation if self.item is None else locate_item(annotation, self.item)[2]


class BadName(ValueError):
    """A flag that names no field, or more than one."""


class Names:
    """All names of the fields now in force.

    The dotted path is the true name and always wins. The last part of it is a short name where it ends exactly one
    path; `-` and `_` are the same in both.
    """

    def __init__(self, drafts: Iterable[Draft]) -> None:
        self.drafts = list(drafts)
        self.paths: dict[str, Node] = {}
        self.leaves: dict[str, list[Node]] = {}
        for draft in self.drafts:
            for node in draft.walk():
                parent = node.path[: len(node.path) - len(node.name)]
                for name in {flag_key(name) for name in (node.name, *node.aliases)}:
                    self.paths[flag_key(parent) + name] = node
                    if not parent or name not in _RESERVED:
                        self.leaves.setdefault(name, []).append(node)
                if node.shape.is_choice and node.owner.child(node.name) is None:  # so that `--part.kind=adam` chooses
                    self.paths[flag_key(f"{node.path}.{node.shape.discriminator}")] = node

    def short(self, node: Node) -> str | None:
        """The short name of `node`, where it has one that differs from its path."""
        unique = len(self.leaves.get(flag_key(node.name), ())) == 1 and flag_key(node.name) not in self.paths
        return node.name if unique else None

    def resolve(self, name: str) -> Target:
        """What `name` (without dashes) means.

        Raises:
            BadName: nothing, or more than one thing.
        """
        key = flag_key(name)
        target = self._lookup(key, name)
        if target is not None:
            return target
        for positive in _without_no(key):
            negated = self._lookup(positive, positive)
            if negated is not None and is_bool(negated.annotation):
                return Target(negated.node, negated.item, negated=True)
        raise BadName(self._explain(name))

    def _lookup(self, key: str, name: str) -> Target | None:
        if key in self.paths:
            return Target(self.paths[key])
        candidates = self.leaves.get(key, [])
        if len(candidates) > 1:
            raise BadName(_ambiguous(name, candidates))
        if candidates:
            return Target(candidates[0])
        return self._mapping_item(name)

    def _mapping_item(self, name: str) -> Target | None:
        """The key of a mapping: `weights.a` for a field `weights: dict[str, float]`."""
        parts = name.split(".")
        for end in range(len(parts) - 1, 0, -1):
            head = flag_key(".".join(parts[:end]))
            found = [self.paths[head]] if head in self.paths else self.leaves.get(head, [])
            if len(found) == 1 and found[0].shape.is_value and holds_items(found[0].field.annotation):
                return Target(found[0], ".".join(parts[end:]))
        return None

    def _explain(self, name: str) -> str:
        elsewhere = self.other_variant(name, Source("flag"))
        if elsewhere:
            return elsewhere
        known = [*self.paths] if "." in name else [key for key, nodes in self.leaves.items() if len(nodes) == 1]
        guess = nearest(name, known) or nearest(name, list(self.paths))
        node = self.paths.get(guess or "") or next(iter(self.leaves.get(guess or "", [])), None)
        if node is None or guess is None:
            return "unknown flag"
        return f"unknown flag; did you mean --{node.path if '.' in name or guess in self.paths else node.name}?"

    def other_variant(self, name: str, source: Source) -> str | None:
        """Says so when `name` is a field of a variant which was not chosen."""
        key = flag_key(name)
        for node in self.paths.values():
            elsewhere = other_variant(node, key.removeprefix(f"{flag_key(node.path)}."), source)
            if elsewhere:
                return elsewhere
        return None


def _without_no(key: str) -> list[str]:
    """`no_x` and `a.no_x` without their `no_`."""
    head, dot, leaf = key.rpartition(".")
    found = [key[3:]] if key.startswith("no_") else []
    return found + ([head + dot + leaf[3:]] if dot and leaf.startswith("no_") else [])


def _ambiguous(name: str, candidates: list[Node]) -> str:
    width = max(len(node.path) for node in candidates)
    lines = [f"\n  --{node.path:<{width}}  ({_default(node)})" for node in candidates]
    return f"is ambiguous, it fits {len(candidates)} arguments; write one of{''.join(lines)}"


def _default(node: Node) -> str:
    return "required" if node.field.is_required() else f"default {node.default_text()}"
