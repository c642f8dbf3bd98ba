"""From the text of a flag or an environment variable to what Pydantic is to judge.

Only the outer form is read here (JSON, commas, `none`); conversion and validation are Pydantic's.
"""

import enum
from typing import Any, Literal, get_args, get_origin

from .annotations import allows_none, is_mapping, is_model, is_sequence, item_type, union_members
from .json_text import Malformed, decode_json
from .node import Node

_NONE = ("none", "null")


def decode_flag(texts: list[str], node: Node) -> Any:
    """The texts given for the field `node`; several make a list, otherwise the last one counts."""
    annotation = node.field.annotation
    if not node.shape.is_value:
        is_none = node.shape.optional and texts[-1].lower() in _NONE
        return None if is_none else decode_json(texts[-1]) if texts[-1].startswith("{") else texts[-1]
    sequence = next((member for member in union_members(annotation) if is_sequence(member)), None)
    if sequence is not None and len(texts) > 1:
        return decode_sequence(texts, sequence)
    return decode(texts[-1], annotation)


def decode(text: str, annotation: Any) -> Any:
    """`text` in the form `annotation` asks for; whatever does not fit is left for Pydantic to refuse."""
    if allows_none(annotation) and text.lower() in _NONE:
        return None
    members = union_members(annotation)
    for member in members:
        known = _known_value(text, member)
        if known is not None:
            return known
    for member in members:
        if is_sequence(member) and (len(members) == 1 or text.startswith("[")):
            return decode_sequence([text], member)
        if (is_mapping(member) or is_model(member)) and (len(members) == 1 or text.startswith("{")):
            return decode_json(text)
    return _json_or_text(text) if Any in members else text


def decode_sequence(texts: list[str], annotation: Any) -> Any:
    """The items of a list, tuple or set from `[64, 32]`, `64,32`, `[a,b]` or several texts."""
    first = item_type(annotation, 0)
    if len(texts) > 1:
        if not is_sequence(first) and any(text.startswith("[") for text in texts):
            return [item for text in texts for item in decode_sequence([text], annotation)]
    elif texts[0].startswith("["):
        try:
            return decode_json(texts[0])
        except Malformed:
            if not _is_bare_list(texts[0]):
                raise
            texts = _split(texts[0][1:-1])
    elif not (is_mapping(first) or is_model(first)):
        texts = _split(texts[0])
    return [decode(text, item_type(annotation, position)) for position, text in enumerate(texts)]


def _known_value(text: str, annotation: Any) -> Any:
    """The Literal value or Enum member which is written as `text`, if any."""
    if get_origin(annotation) is Literal:
        spelled = {
            str(value).lower() if isinstance(value, bool) else str(value): value for value in get_args(annotation)
        }
        return spelled.get(text, spelled.get(text.lower()) if text.lower() in ("true", "false") else None)
    if isinstance(annotation, type) and issubclass(annotation, enum.Enum):
        return next((member for member in annotation if str(member.value) == text), None)
    return None


def _is_bare_list(text: str) -> bool:
    """Whether `text` is a list whose items need no quotes: `[a,b]`."""
    return text.endswith("]") and not any(character in text[1:-1] for character in "[]{}\"'")


def _split(text: str) -> list[str]:
    return [item.strip() for item in text.split(",")] if text.strip() else []


def _json_or_text(text: str) -> Any:
    try:
        return decode_json(text)
    except Malformed:
        return text
