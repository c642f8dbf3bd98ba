"""The items of a field that holds a mapping: `--weights.a=1`, `--groups.head.learning_rate=0.1`."""

from collections.abc import Callable, Mapping
from typing import Any, get_args

from pydantic import BaseModel

from .annotations import holds_items, is_mapping, is_model, union_members
from .sources import Problem
from .wording import flag_key, nearest


def locate_item(annotation: Any, item: str) -> tuple[str, str | None, Any]:
    """The key that `item` names, the field below it where the values are models, and the type of what is named."""
    inner = _value_type(annotation)
    key, _, leaf = item.rpartition(".")
    for model in _models(inner) if key else ():
        for name, field in model.model_fields.items():
            if flag_key(name) == flag_key(leaf):
                return key, name, field.annotation
    return item, None, inner


def with_item(annotation: Any, current: Any, item: str, convert: Callable[[Any], Any]) -> dict[str, Any]:
    """The mapping `current` with one more item; `convert` makes its value from its type.

    Raises:
        Problem: the values are models, and the item names no field of theirs.
    """
    mapping: dict[str, Any] = {**current} if isinstance(current, Mapping) else {}
    key, leaf, wanted = locate_item(annotation, item)
    value = convert(wanted)
    if leaf is not None:
        value = {**_as_dict(mapping.get(key)), leaf: value}
    elif _models(wanted) and "." in item and not isinstance(value, (Mapping, BaseModel, type(None))):
        raise Problem(item, not_a_field(item.rpartition(".")[2], wanted))
    return mapping | {key: value}


def item_annotation(annotation: Any, key: str) -> Any:
    """The type of what stands under `key` of a model or a mapping; Any where that is not known."""
    for model in _models(annotation):
        if key in model.model_fields:
            return model.model_fields[key].annotation
    return _value_type(annotation) if holds_items(annotation) else Any


def not_a_field(name: str, annotation: Any) -> str:
    """Says that the models of `annotation` have no field `name`, and which they have."""
    known = dict.fromkeys(name for model in _models(annotation) for name in model.model_fields)
    guess = nearest(name, list(known))
    return f"is not a field; {f'did you mean {guess}?' if guess else 'known here: ' + ', '.join(known)}"


def _value_type(annotation: Any) -> Any:
    mapping = next(member for member in union_members(annotation) if is_mapping(member))
    arguments = get_args(mapping)
    return arguments[1] if len(arguments) == 2 else Any


def _models(annotation: Any) -> list[type[BaseModel]]:
    return [member for member in union_members(annotation) if is_model(member)]


def _as_dict(entry: Any) -> dict[str, Any]:
    if isinstance(entry, BaseModel):
        return {name: entry.__dict__[name] for name in entry.model_fields_set}
    return {**entry} if isinstance(entry, Mapping) else {}
