"""What has been said so far about one configuration, layer by layer, with the source of each value.

A `Draft` stands for one model class. Nested models and choices are drafts of their own, so switching a choice replaces
one draft and forgets everything that was said about the variant before.
"""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from .annotations import holds_items, kind_value, shape_of
from .items import with_item
from .node import Node, other_variant
from .sources import DEFAULT, Given, Problem, Problems, Source
from .wording import MASK, MAX_PROBLEMS, flag_key, nearest, not_one_of, quoted, spelled


class Draft:
    """The values given for `model` so far; `default` is the instance that stands there when nothing is given."""

    def __init__(
        self,
        model: type[BaseModel],
        *,
        default: BaseModel | None = None,
        place: Node | None = None,
        kind: str = "",
    ) -> None:
        self.model = model
        self.path = place.path if place else ""
        self.default = default
        self.place = place
        """The field that this draft stands in; None at the top."""
        self.kind = kind
        """The name of this variant, as the user writes it; empty where there is no choice."""
        self.kind_source: Source | None = None
        self.given: dict[str, Given] = {}
        self._children: dict[str, Draft | None] = {}
        self._fields: dict[str, Node] | None = None

    @property
    def discriminator(self) -> str | None:
        """The field that tells which variant this is, where there is a choice."""
        return self.place.shape.discriminator if self.place else None

    @property
    def nodes(self) -> dict[str, Node]:
        """The fields of this model by name."""
        if self._fields is None:
            prefix = f"{self.path}." if self.path else ""
            self._fields = {
                name: Node(prefix + name, name, field, shape_of(field), self)
                for name, field in self.model.model_fields.items()
            }
        return self._fields

    def find(self, key: str) -> Node | None:
        """The field written as `key`: its name or an alias of it."""
        wanted = flag_key(key)
        for node in self.nodes.values():
            if flag_key(node.name) == wanted or any(flag_key(alias) == wanted for alias in node.aliases):
                return node
        return None

    def default_of(self, name: str) -> Any:
        if self.default is not None:
            return self.default.__dict__[name]  # getattr would warn of deprecated fields
        field = self.model.model_fields[name]
        if field.default_factory is not None and field.default_factory_takes_validated_data:
            return field.get_default(call_default_factory=False)
        return field.get_default(call_default_factory=True)

    def child(self, name: str) -> "Draft | None":
        """The draft of a nested model or chosen variant; None where none is in force."""
        node = self.nodes[name]
        if node.shape.is_value or (node.shape.is_choice and name in self.given):
            return None
        if name not in self._children:
            self._children[name] = self._default_child(node)
        return self._children[name]

    def _default_child(self, node: Node) -> "Draft | None":
        default = node.default()
        if not node.shape.is_choice:
            model = type(default) if isinstance(default, BaseModel) else node.shape.variants[""]
            return Draft(model, default=default if isinstance(default, BaseModel) else None, place=node)
        for kind, model in node.shape.variants.items():
            if isinstance(default, model) and str(default.__dict__[str(node.shape.discriminator)]) == kind:
                return Draft(model, default=default, place=node, kind=kind)
        return None

    def walk(self) -> Iterator[Node]:
        """Every field of the variants in force, a group before its fields."""
        for node in self.nodes.values():
            yield node
            child = self.child(node.name)
            if child is not None:
                yield from child.walk()

    @property
    def touched(self) -> bool:
        """Whether anything was said about this model, a variant's name included."""
        return (
            bool(self.given)
            or self.kind_source is not None
            or any(child.touched for child in self._children.values() if child is not None)
        )

    def choose(self, name: str, kind: str, source: Source) -> None:
        """Put the variant `kind` in force; naming the one in force already changes nothing."""
        node = self.nodes[name]
        if kind not in node.shape.variants:
            raise Problem(name, not_one_of(kind, list(node.shape.variants)))
        self.given.pop(name, None)
        current = self.child(name)
        if current is None or current.kind != kind:
            current = self._children[name] = Draft(node.shape.variants[kind], place=node, kind=kind)
        current.kind_source = source

    def set(self, name: str, value: Any, source: Source, text: str) -> None:
        """Give the field `name` a value: a mapping is merged into a nested model, a word chooses a variant."""
        node = self.nodes[name]
        if node.shape.is_value or (value is None and node.shape.optional):
            if source.kind == "file" and name in self.given and self.given[name].source is source:
                raise Problem(name, "is given twice in this file, dotted and nested")
            self.given[name] = Given(value, source, text)
            self._children.pop(name, None)
        elif isinstance(value, dict):
            self._merge_child(node, value, source)  # pyright: ignore[reportUnknownArgumentType]
        elif node.shape.is_choice and isinstance(value, str):
            self.choose(name, value, source)
        else:
            forms = f"one of {', '.join(node.shape.variants)}" if node.shape.is_choice else "`key: value` pairs"
            raise Problem(name, f"{MASK if node.secret else quoted(text)} is not {forms}")

    def set_item(self, name: str, item: str, convert: Callable[[Any], Any], source: Source, text: str) -> None:
        """Give one item of a mapping a value; `convert` makes it from the item's type. The other items stay."""
        node = self.nodes[name]
        current = self.given[name].value if name in self.given else node.default()
        try:
            value = with_item(node.field.annotation, current, item, convert)
        except Problem as problem:
            raise Problem(f"{name}.{problem.key}", str(problem)) from None
        self.given[name] = Given(value, source, text)

    def _merge_child(self, node: Node, data: dict[str, Any], source: Source) -> None:
        kind = data.get(node.shape.discriminator) if node.shape.discriminator else None
        if kind is not None:
            self.choose(node.name, str(kind), source)
            data = {key: value for key, value in data.items() if key != node.shape.discriminator}
        given = self.given.pop(node.name, None)
        child = self.child(node.name)
        if child is None:
            if given is not None:
                self.given[node.name] = given
            raise Problem(node.name, f"choose one first: {', '.join(node.shape.variants)}")
        if not data:  # `extra: {}` asks for the part and says nothing more about it
            child.kind_source = child.kind_source or source
        problems = child.merge(data, source)
        if problems:
            raise Problems([Problem(f"{node.name}.{problem.key}", str(problem)) for problem in problems])

    def merge(self, data: dict[str, Any], source: Source) -> list[Problem]:
        """Take over a mapping whose keys may be nested or dotted; what does not fit is returned, the rest is kept."""
        problems: list[Problem] = []
        for key in sorted(data, key=_outer_first):
            try:
                self._merge_key(str(key), data[key], source)
            except Problems as several:
                problems += several.problems
            except Problem as problem:
                problems.append(problem)
            if len(problems) > MAX_PROBLEMS:
                break
        return problems

    def _merge_key(self, key: str, value: Any, source: Source) -> None:
        node = self.find(key)
        head, dot, rest = key.partition(".")
        if node is None and dot:
            node = self.find(head)
            if node is not None and holds_items(node.field.annotation):
                return self.set_item(node.name, rest, lambda _: value, source, spelled(value))
            value = {rest: value}
        if node is None:
            raise Problem(key, self._unknown(key, source))
        if node.is_discriminator:  # the choice itself was made by whoever holds this variant
            raise Problem(key, f"write {self.path}: {spelled(value)}")
        self.set(node.name, value, source, spelled(value))

    def _unknown(self, key: str, source: Source) -> str:
        elsewhere = other_variant(self.place, key, source) if self.place is not None else None
        if elsewhere:
            return elsewhere
        guess = nearest(key, list(self.nodes))
        hint = f"; did you mean {guess}?" if guess else f"; known here: {', '.join(self.nodes)}"
        return f"is not a field of {self.kind}{hint}" if self.kind else f"unknown key{hint}"

    def raw(self) -> dict[str, Any]:
        """What Pydantic is to validate: the fields the default instance sets, below what was given."""
        data: dict[str, Any] = {}
        if self.default is not None:
            set_fields = self.default.model_fields_set
            data = {name: self.default.__dict__[name] for name in self.model.model_fields if name in set_fields}
        data |= {name: given.value for name, given in self.given.items()}
        for name, node in self.nodes.items():
            child = self._children.get(name) or (self.child(name) if node.field.is_required() else None)
            if child is not None and (child.touched or node.field.is_required()):
                data[name] = child.raw()
        if self.discriminator is not None:
            data[self.discriminator] = kind_value(self.model, self.discriminator, self.kind)
        return {self._key(name): value for name, value in data.items()}

    def _key(self, name: str) -> str:
        aliases = self.nodes[name].aliases
        return aliases[0] if aliases else name

    def source_of(self, path: str) -> Source:
        """Where the value at `path` (relative to this draft) comes from."""
        head, _, rest = path.partition(".")
        if head in self.given:
            return self.given[head].source
        if head == self.discriminator:
            return self.kind_source or DEFAULT
        child = self.child(head) if head in self.nodes else None
        if child is None:
            return DEFAULT
        return child.source_of(rest) if rest else child.kind_source or DEFAULT


def _outer_first(key: str) -> tuple[int, bool]:
    """Sorts `optimizer` before `optimizer.kind`, and that before `optimizer.momentum`."""
    return str(key).count("."), not str(key).endswith(".kind")
