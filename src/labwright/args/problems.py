"""Pydantic's errors in the words of the command line: the key, what was given, what would work."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .annotations import choices, is_sequence, item_type, union_members, words
from .draft import MASK, Draft, Node, Source, nearest, quoted

_WRONG_TYPE = ("_parsing", "_type", "literal_error", "enum", "int_from_float", "is_instance_of", "parsing_error")


def where(path: str, source: Source) -> str:
    """How an error names a value: the flag, or the file or variable and the key."""
    return f"{source.label}: {path}" if source.kind in ("file", "environment") else f"--{path}"


def explain(draft: Draft, error: ValidationError, known: set[str]) -> list[str]:
    """One line for each thing Pydantic found wrong, except below the paths `known` to be wrong already."""
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False):
        node, rest = _locate(draft, detail["loc"])
        if node is not None and node.path in known:
            continue
        key, line = _line(draft, detail, node, rest)
        lines.setdefault(key, line)
    return list(lines.values())


def _locate(draft: Draft, location: tuple[int | str, ...]) -> tuple[Node | None, tuple[int | str, ...]]:
    """The deepest field an error's location leads to, and what of the location lies inside its value."""
    node, rest = None, location
    while rest:
        found = draft.find(str(rest[0]))
        if found is None:
            break
        node, rest = found, rest[1:]
        child = draft.child(node.name)
        if child is None or not child.touched:
            break
        if node.shape.is_choice and rest and rest[0] in (*node.shape.variants, child.kind):
            rest = rest[1:]
        draft = child
    return node, rest


def _line(draft: Draft, detail: ErrorDetails, node: Node | None, rest: tuple[int | str, ...]) -> tuple[str, str]:
    if node is None:
        text = _message(detail)
        return text, f"{'.'.join(map(str, detail['loc']))}: {text}" if detail["loc"] else text
    if len(union_members(node.field.annotation)) > 1:
        rest = ()  # the rest names members of the union: they are explained together
    path = node.path + "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in rest)
    given = node.owner.given.get(node.name)
    source = node.owner.source_of(node.name)
    if detail["type"] == "missing" and not rest:
        described = f" ({node.field.description})" if node.field.description else ""
        return path, f"{where(node.path, source)} is required{described}"
    if detail["type"] == "missing" and isinstance(rest[-1], int):
        return (
            node.path,
            f"{where(node.path, source)}: {_shown(node, given.text if given else '')} is not {_wanted(node)}",
        )
    value = given.text if given is not None and not rest else str(detail["input"])
    return path, f"{where(path, source)}: {_reason(detail, node, rest, value)}"


def _reason(detail: ErrorDetails, node: Node, rest: tuple[int | str, ...], value: str) -> str:
    shown = _shown(node, value)
    if not rest and (detail["type"].endswith(_WRONG_TYPE) or len(union_members(node.field.annotation)) > 1):
        return f"{shown} is not {_wanted(node)}{_hint(node.field.annotation, value)}"
    if detail["type"].endswith(_WRONG_TYPE) and len(rest) == 1 and isinstance(rest[0], int):
        item = item_type(union_members(node.field.annotation)[0], rest[0])
        return f"{shown} is not {words(item)}{_hint(item, value)}"
    if not node.shape.is_value and not rest:
        return _message(detail)
    return f"{shown}: {_message(detail)}"


def _shown(node: Node, value: str) -> str:
    return MASK if node.secret else quoted(value)


def _wanted(node: Node) -> str:
    """What the field takes, with an example where the form is not obvious."""
    annotation = node.field.annotation
    members = union_members(annotation)
    if len(members) != 1 or not is_sequence(members[0]):
        return words(annotation)
    example = {int: "[64, 32]", float: "[0.5, 0.1]"}.get(item_type(members[0], 0), '["a", "b"]')
    return f'{words(annotation)}; for example --{node.path}="{example}"'


def _hint(annotation: Any, value: str) -> str:
    guess = nearest(value, [str(choice) for choice in choices(annotation)])
    return f"; did you mean {guess}?" if guess else ""


def _message(detail: ErrorDetails) -> str:
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text.replace("Input should", "should").replace(" after validation", "")
