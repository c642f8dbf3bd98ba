"""What a type annotation says: whether None is allowed, which parts can be chosen, and how to put it into words."""

import datetime as dt
import enum
import types
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import AliasChoices, BaseModel, ByteSize, SecretBytes, SecretStr
from pydantic.fields import FieldInfo

_WORDS: dict[Any, str] = {
    int: "an integer",
    float: "a number",
    bool: "a boolean (true or false)",
    str: "a text",
    Path: "a path",
    Decimal: "a decimal number",
    dt.datetime: "a date and time",
    dt.date: "a date",
    dt.timedelta: "a duration",
    ByteSize: "a size such as 8GB",
    SecretStr: "a secret text",
}
_LABELS: dict[Any, str] = {
    int: "int",
    float: "float",
    bool: "bool",
    str: "str",
    Path: "path",
    Decimal: "decimal",
    dt.datetime: "datetime",
    dt.date: "date",
    dt.timedelta: "duration",
    ByteSize: "bytes",
    SecretStr: "secret",
}
_PLURALS = {"a text": "texts", "a boolean (true or false)": "booleans", "a size such as 8GB": "sizes such as 8GB"}


@dataclass(frozen=True)
class Shape:
    """How a field can be written: a plain value, one nested model, or a choice between models."""

    variants: dict[str, type[BaseModel]]
    """kind -> model of a choice; {"": model} for a nested model; empty for a plain value."""
    discriminator: str | None = None
    optional: bool = False

    @property
    def is_choice(self) -> bool:
        return self.discriminator is not None

    @property
    def is_value(self) -> bool:
        return not self.variants


def shape_of(field: FieldInfo) -> Shape:
    """The shape of `field`: unions without a discriminator are plain values, written as JSON."""
    members, discriminator = _members(field.annotation)
    if isinstance(field.discriminator, str):
        discriminator = field.discriminator
    optional = type(None) in members
    models = [member for member in members if member is not type(None)]
    if not models or not all(is_model(member) for member in models):
        return Shape({}, optional=optional)
    if discriminator is not None:
        variants = {str(kind): model for model in models for kind in _kinds(model, discriminator)}
        return Shape(variants, discriminator, optional)
    if len(models) == 1:
        return Shape({"": models[0]}, optional=optional)
    return Shape({}, optional=optional)


def _members(annotation: Any) -> tuple[list[Any], str | None]:
    """The members of a union (or the one type), and the discriminator an Annotated layer names."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        members, discriminator = _members(inner)
        named = [m.discriminator for m in metadata if isinstance(m, FieldInfo) and isinstance(m.discriminator, str)]
        return members, (named or [discriminator])[0]
    if origin is Union or origin is types.UnionType:
        found = [_members(member) for member in get_args(annotation)]
        names = [name for _, name in found if name]
        return [member for members, _ in found for member in members], names[0] if names else None
    return [annotation], None


def _kinds(model: type[BaseModel], discriminator: str) -> tuple[Any, ...]:
    return get_args(model.model_fields[discriminator].annotation)


def tagged(annotation: Any) -> dict[str, type[BaseModel]]:
    """kind -> model of a union which is told apart by a discriminator; empty for anything else."""
    members, discriminator = _members(annotation)
    if discriminator is None:
        return {}
    return {str(kind): model for model in members if is_model(model) for kind in _kinds(model, discriminator)}


def kind_value(model: type[BaseModel], discriminator: str, kind: str) -> Any:
    """The value of the discriminator which is written as `kind`."""
    return next(value for value in _kinds(model, discriminator) if str(value) == kind)


def field_aliases(field: FieldInfo) -> list[str]:
    """The other names under which a field is known."""
    alias = field.validation_alias
    if isinstance(alias, AliasChoices):
        return [choice for choice in alias.choices if isinstance(choice, str)]
    return [alias] if isinstance(alias, str) else []


def is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def unwrap(annotation: Any) -> Any:
    """`annotation` without its Annotated layers."""
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    return annotation


def union_members(annotation: Any) -> list[Any]:
    """The members of a union without None; of anything else, itself."""
    return [member for member in _members(annotation)[0] if member is not type(None)]


def allows_none(annotation: Any) -> bool:
    literals = (get_args(member) for member in _members(annotation)[0] if get_origin(member) is Literal)
    return type(None) in _members(annotation)[0] or any(None in values for values in literals)


def is_bool(annotation: Any) -> bool:
    return any(member is bool for member in union_members(annotation))


def is_sequence(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, (Sequence, Set)) and not issubclass(origin, (str, bytes))


def holds_items(annotation: Any) -> bool:
    """Whether a mapping can stand there, so that `--name.key=value` gives it an item."""
    return any(is_mapping(member) for member in union_members(annotation))


def is_mapping(annotation: Any) -> bool:
    origin = get_origin(annotation) or annotation
    return isinstance(origin, type) and issubclass(origin, Mapping)


def is_secret(annotation: Any, *, inside: tuple[Any, ...] = ()) -> bool:
    """Whether a secret can stand anywhere in `annotation`, also in the fields of models."""
    annotation = unwrap(annotation)
    if annotation in (SecretStr, SecretBytes):
        return True
    if is_model(annotation):
        fields = () if annotation in inside else annotation.model_fields.values()
        return any(is_secret(field.annotation, inside=(*inside, annotation)) for field in fields)
    if get_origin(annotation) is Literal:
        return False
    return any(is_secret(member, inside=inside) for member in get_args(annotation))


def item_type(annotation: Any, position: int) -> Any:
    """The type of the item at `position` of a list, tuple or set."""
    items = get_args(annotation)
    if not items:
        return Any
    if get_origin(annotation) is tuple and not (len(items) == 2 and items[1] is Ellipsis):
        return items[min(position, len(items) - 1)]
    return items[0]


def choices(annotation: Any) -> list[Any]:
    """The values a Literal or Enum anywhere in the union allows (Enum members by their value)."""
    return list(_choices(annotation))


def _choices(annotation: Any) -> Iterator[Any]:
    for member in union_members(annotation):
        if get_origin(member) is Literal:
            yield from (value for value in get_args(member) if value is not None)
        elif isinstance(member, type) and issubclass(member, enum.Enum):
            yield from (item.value for item in member)


def label(annotation: Any) -> str:
    """A short name for help: `int`, `list[float]`, `int or none`."""
    members = union_members(annotation)
    names = list(dict.fromkeys(_label(member) for member in members))
    return " or ".join(names + (["none"] if allows_none(annotation) else []))


def _label(annotation: Any) -> str:
    values = choices(annotation)
    if values:
        return ", ".join(str(value) for value in values)
    if is_model(annotation):
        return annotation.__name__
    if is_sequence(annotation) or is_mapping(annotation):
        origin = get_origin(annotation) or annotation
        items = ["..." if item is Ellipsis else label(item) for item in get_args(annotation)]
        return f"{origin.__name__.lower()}[{', '.join(items)}]" if items else origin.__name__.lower()
    return _LABELS.get(annotation, getattr(annotation, "__name__", str(annotation)))


def words(annotation: Any) -> str:
    """`annotation` in words, for "... is not ...": `an integer`, `a list of integers`, `one of relu, gelu`."""
    return " or ".join(_words(member) for member in union_members(annotation)) or "empty"


def _words(annotation: Any) -> str:
    values = choices(annotation)
    if values:
        return f"one of {', '.join(str(value) for value in values)}" if len(values) > 1 else str(values[0])
    if is_model(annotation):
        return f"the fields of {annotation.__name__} as JSON"
    if is_mapping(annotation):
        return "a JSON object"
    if is_sequence(annotation):
        items = [item for item in get_args(annotation) if item is not Ellipsis]
        if get_origin(annotation) is tuple and len(items) > 1:
            return f"{len(items)} values ({', '.join(label(item) for item in items)})"
        return f"a list of {_plural(words(items[0]))}" if items else "a list"
    return _WORDS.get(annotation, f"a {getattr(annotation, '__name__', annotation)}")


def _plural(phrase: str) -> str:
    if phrase in _PLURALS:
        return _PLURALS[phrase]
    return f"{phrase.removeprefix('an ').removeprefix('a ')}s" if phrase.startswith("a") else phrase
