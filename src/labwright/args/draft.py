"""What has been said so far about one configuration, layer by layer, with the source of each value.

A `Draft` stands for one model class. Nested models and choices are drafts of their own, so switching a choice replaces
one draft and forgets everything that was said about the variant before.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel
from pydantic.fields import FieldInfo

from .annotations import Shape, is_secret, shape_of

MASK = "********"


@dataclass(frozen=True)
class Source:
    """Where a value comes from, in the words of an error message."""

    kind: Literal["default", "file", "environment", "flag"]
    label: str = "default"


@dataclass(frozen=True)
class Given:
    """A value that somebody gave, as Pydantic will see it and as it was written."""

    value: Any
    source: Source
    text: str


@dataclass(frozen=True)
class Node:
    """A field of the drafted configuration, with its true name."""

    path: str
    name: str
    field: FieldInfo
    shape: Shape
    owner: "Draft"

    @property
    def secret(self) -> bool:
        return is_secret(self.field.annotation)

    @property
    def aliases(self) -> list[str]:
        return field_aliases(self.field)

    def default(self) -> Any:
        """The value in force when nobody gives one; `PydanticUndefined` for a required field."""
        return self.owner.default_of(self.name)


def field_aliases(field: FieldInfo) -> list[str]:
    """The other names under which a field is known."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias] if isinstance(alias, str) else []


def flag_key(name: str) -> str:
    """The form in which names are compared: `-` and `_` are the same."""
    return name.replace("-", "_")


class Problem(ValueError):
    """Something wrong with one key; `key` is relative to where the data came from."""

    def __init__(self, key: str, text: str) -> None:
        super().__init__(text)
        self.key = key


class Draft:
    """The values given for `model` so far; `default` is the instance that stands there when nothing is given."""

    def __init__(self, model: type[BaseModel], path: str = "", default: BaseModel | None = None) -> None:
        self.model = model
        self.path = path
        self.default = default
        self.kind_source: Source | None = None
        self.given: dict[str, Given] = {}
        self._children: dict[str, Draft | None] = {}
        self._fields: dict[str, Node] | None = None

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
            return getattr(self.default, name)
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
            default = self.default_of(name)
            model = type(default) if isinstance(default, BaseModel) else node.shape.variants.get("")
            if model is not None and model not in node.shape.variants.values():
                model = next((known for known in node.shape.variants.values() if isinstance(default, known)), model)
            instance = default if isinstance(default, BaseModel) else None
            self._children[name] = None if model is None else Draft(model, node.path, instance)
        return self._children[name]

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
            raise Problem(name, not_a_kind(kind, node.shape))
        self.given.pop(name, None)
        current = self.child(name)
        model = node.shape.variants[kind]
        if current is None or current.model is not model:
            current = self._children[name] = Draft(model, node.path)
        current.kind_source = source

    def set(self, name: str, value: Any, source: Source, text: str) -> None:
        """Give the field `name` a value: a mapping is merged into a nested model, a word chooses a variant."""
        node = self.nodes[name]
        if node.shape.is_value or (value is None and node.shape.optional):
            self.given[name] = Given(value, source, text)
            self._children.pop(name, None)
        elif isinstance(value, dict):
            self._merge_child(node, value, source)  # pyright: ignore[reportUnknownArgumentType]
        elif node.shape.is_choice and isinstance(value, str):
            self.choose(name, value, source)
        else:
            forms = f"one of {', '.join(node.shape.variants)}" if node.shape.is_choice else "`key: value` pairs"
            raise Problem(name, f"{quoted(text)} is not {forms}")

    def _merge_child(self, node: Node, data: dict[str, Any], source: Source) -> None:
        kind = data.get(node.shape.discriminator) if node.shape.discriminator else None
        if kind is not None:
            self.choose(node.name, str(kind), source)
        given = self.given.pop(node.name, None)
        child = self.child(node.name)
        if child is None:
            if given is not None:
                self.given[node.name] = given
            raise Problem(node.name, f"choose one first: {', '.join(node.shape.variants)}")
        child.kind_source = child.kind_source or source
        problems = child.merge(data, source)
        if problems:
            raise Problems([Problem(f"{node.name}.{problem.key}", str(problem)) for problem in problems])

    def merge(self, data: dict[str, Any], source: Source, *, text: Callable[[Any], str] = str) -> list[Problem]:
        """Take over a mapping whose keys may be nested or dotted; what does not fit is returned, the rest is kept."""
        problems: list[Problem] = []
        for key, value in data.items():
            node = self.find(key)
            head, dot, rest = key.partition(".")
            if node is None and dot:
                node, value = self.find(head), {rest: value}
            if node is None:
                problems.append(Problem(key, self._unknown(key)))
                continue
            try:
                self.set(node.name, value, source, text(value))
            except Problems as several:
                problems += several.problems
            except Problem as problem:
                problems.append(problem)
        return problems

    def _unknown(self, key: str) -> str:
        guess = nearest(key, list(self.nodes))
        hint = f"; did you mean {guess}?" if guess else f"; known here: {', '.join(self.nodes)}"
        if "kind" in self.nodes:
            return f"is not a field of {self.kind}{hint}"
        return f"unknown key{hint}"

    @property
    def kind(self) -> str:
        """The name of this variant, as the user writes it."""
        kind: Any = (
            self.model.model_fields["kind"].default if "kind" in self.model.model_fields else self.model.__name__
        )
        return str(kind)

    def raw(self) -> dict[str, Any]:
        """What Pydantic is to validate: the fields the default instance sets, below what was given."""
        default = self.default
        data: dict[str, Any] = {}
        if default is not None:
            data = {
                name: getattr(default, name) for name in self.model.model_fields if name in default.model_fields_set
            }
        data |= {name: given.value for name, given in self.given.items()}
        data |= {name: child.raw() for name, child in self._children.items() if child is not None and child.touched}
        for name in self._children:
            discriminator = self.nodes[name].shape.discriminator
            child = self._children[name]
            if discriminator and child is not None and child.touched:
                data[name].setdefault(discriminator, child.model.model_fields[discriminator].default)
        return {self._key(name): value for name, value in data.items()}

    def _key(self, name: str) -> str:
        aliases = self.nodes[name].aliases
        return aliases[0] if aliases else name

    def source_of(self, path: str) -> Source:
        """Where the value at `path` (relative to this draft) comes from."""
        head, _, rest = path.partition(".")
        if head in self.given:
            return self.given[head].source
        child = self.child(head) if head in self.nodes else None
        if child is None:
            return Source("default")
        if not rest or rest == self.nodes[head].shape.discriminator:
            return child.kind_source or Source("default")
        return child.source_of(rest)


class Problems(Problem):
    """Several problems below one key."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__("", "; ".join(str(problem) for problem in problems))
        self.problems = problems


def not_a_kind(kind: str, shape: Shape) -> str:
    guess = nearest(kind, list(shape.variants))
    hint = f"; did you mean {guess}?" if guess else ""
    return f"{quoted(kind)} is not one of {', '.join(shape.variants)}{hint}"


def nearest(word: str, known: list[str]) -> str | None:
    """The known name a typo most likely meant, if any is near."""
    import difflib

    by_key = {flag_key(name): name for name in known}
    found = difflib.get_close_matches(flag_key(word), by_key, n=1, cutoff=0.6)
    return by_key[found[0]] if found else None


def quoted(text: str, limit: int = 80) -> str:
    """`text` in quotes, shortened, on one line."""
    text = text.replace("\n", "\\n")
    return f'"{text if len(text) <= limit else text[: limit - 3] + "..."}"'
