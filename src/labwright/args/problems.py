"""Pydantic's errors in the words of the command line: the key, what was given, what would work."""

from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from .annotations import choices, is_sequence, item_type, tagged, union_members, words
from .draft import Draft
from .items import item_annotation, not_a_field
from .node import Node
from .sources import Source
from .wording import MASK, MAX_PROBLEMS, nearest, not_one_of, one_line, quoted, spelled

_WRONG_TYPE = (
    *("_parsing", "_type", "literal_error", "enum", "int_from_float", "is_instance_of", "parsing_error"),
    *("byte_size", "byte_size_unit"),
)
_OUT_OF_RANGE = ("greater_than", "less_than", "multiple_of", "finite_number")


def where(path: str, source: Source) -> str:
    """How an error names a value: the flag, or the file or variable and the key."""
    name = one_line(path, 200)
    return f"{source.label}: {name}" if source.kind in ("file", "environment") else f"--{name}"


def explain(draft: Draft, error: ValidationError, known: set[str]) -> list[str]:
    """One line for each thing Pydantic found wrong, except below the paths `known` to be wrong already.

    Of a union that is the range of a member whose type was met, else that the value is none of the members.
    """
    lines: dict[str, str] = {}
    out_of_range: set[str] = set()
    for detail in error.errors(include_url=False):
        node, rest = _locate(draft, detail["loc"])
        if node is not None and node.path in known:
            continue
        key, line = _line(draft, detail, node, rest)
        if _is_out_of_range(detail) and key not in out_of_range:
            out_of_range.add(key)
            lines[key] = line
        lines.setdefault(key, line)
        if len(lines) > MAX_PROBLEMS:
            break
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
        if child is None:
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
    inside, wanted = _inside(node.field.annotation, rest)
    path = node.path + inside
    given = node.owner.given.get(node.name)
    source = node.owner.source_of(node.name)
    if detail["type"] == "missing" and (not rest or isinstance(rest[-1], str)):
        described = f" ({node.field.description})" if node.field.description and not rest else ""
        return path, f"{where(path, source)} is required{described}"
    if detail["type"] == "missing":  # an item of a tuple: the whole of it is too short
        shown = _shown(node, given.text if given else "")
        return node.path, f"{where(node.path, source)}: {shown} is not {_wanted(node)}"
    value = given.text if given is not None and not rest else spelled(detail["input"])
    return path, f"{where(path, source)}: {_reason(detail, node, rest, value, wanted)}"


def _reason(detail: ErrorDetails, node: Node, rest: tuple[int | str, ...], value: str, wanted: Any) -> str:
    shown, kind = _shown(node, value), detail["type"]
    if kind == "extra_forbidden" and rest:
        return not_a_field(str(rest[-1]), _inside(node.field.annotation, rest[:-1])[1])
    if kind in ("value_error", "assertion_error") and not rest:  # a validator's own words
        return f"{shown}: {_message(detail)}" if node.shape.is_value else _message(detail)
    if kind.startswith("union_tag"):
        tag = detail.get("ctx", {}).get("tag")
        return f"needs a kind: {', '.join(tagged(wanted))}" if tag is None else not_one_of(tag, list(tagged(wanted)))
    if not rest and (kind.endswith(_WRONG_TYPE) or (len(union_members(wanted)) > 1 and not _is_out_of_range(detail))):
        return f"{shown} is not {_wanted(node)}{_hint(wanted, value)}"
    if kind.endswith(_WRONG_TYPE) and wanted is not Any:
        return f"{shown} is not {words(wanted)}{_hint(wanted, value)}"
    if not node.shape.is_value and not rest:
        return _message(detail)
    others = [str(choice) for choice in choices(wanted)] if _is_out_of_range(detail) else []
    return ", or ".join([f"{shown}: {_message(detail)}", *others])


def _is_out_of_range(detail: ErrorDetails) -> bool:
    return detail["type"].startswith(_OUT_OF_RANGE)


def _inside(annotation: Any, rest: tuple[int | str, ...]) -> tuple[str, Any]:
    """Where an error lies inside a value, as a path without the kinds on the way, and the type of what stands there."""
    path = ""
    for part in rest:
        if isinstance(part, int):
            path += f"[{part}]"
            annotation = next((item_type(one, part) for one in union_members(annotation) if is_sequence(one)), Any)
        elif part in tagged(annotation):
            annotation = tagged(annotation)[part]
        else:
            path += f".{part}"
            annotation = item_annotation(annotation, part)
    return path, annotation


def _shown(node: Node, value: str) -> str:
    return MASK if node.secret else quoted(value)


def _wanted(node: Node) -> str:
    """What the field takes, with an example where the form is not obvious."""
    annotation = node.field.annotation
    members = union_members(annotation)
    if len(members) != 1 or not is_sequence(members[0]):
        return words(annotation)
    examples = {int: ("64", "32"), float: ("0.5", "0.1")}
    items = [examples.get(item_type(members[0], place), ('"a"', '"b"'))[place] for place in range(2)]
    example = f"[{', '.join(items)}]"
    quote = "'" if '"' in example else '"'
    return f"{words(annotation)}; for example --{node.path}={quote}{example}{quote}"


def _hint(annotation: Any, value: str) -> str:
    guess = nearest(value, [str(choice) for choice in choices(annotation)])
    return f"; did you mean {guess}?" if guess else ""


def _message(detail: ErrorDetails) -> str:
    text = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return text.replace("Input should", "should").replace(" after validation", "")
