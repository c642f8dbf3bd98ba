"""Help for one flag: what stands for its value, its range, its default."""

import argparse
from typing import Any

from .annotations import choices, is_mapping, is_model, is_sequence, item_type, label, union_members
from .node import Node

_BOUNDS = (("gt", ">"), ("ge", ">="), ("lt", "<"), ("le", "<="), ("multiple_of", "a multiple of"))


class HelpFormatter(argparse.RawDescriptionHelpFormatter):
    """Help with all names of a flag first and the value once, as Python 3.13 does and older ones do not."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        if not action.option_strings or action.nargs == 0:
            return super()._format_action_invocation(action)
        return f"{', '.join(action.option_strings)} {self._format_args(action, action.dest.upper())}"


def metavar(node: Node) -> str:
    """What stands for the value in help: `INT`, `{relu,gelu}`, `JSON`."""
    if node.shape.is_choice:
        return "{" + ",".join(node.shape.variants) + "}"
    if not node.shape.is_value:
        return "JSON"
    annotation = node.field.annotation
    values = choices(annotation)
    if values and len(union_members(annotation)) == 1:
        return "{" + ",".join(str(value) for value in values) + "}"
    return "|".join(dict.fromkeys(_metavar_word(member) for member in union_members(annotation)))


def _metavar_word(member: Any) -> str:
    values = choices(member)
    if values:
        return "|".join(str(value) for value in values)
    if is_mapping(member) or is_model(member):
        return "JSON"
    if is_sequence(member):
        inner = item_type(member, 0)
        return "LIST" if is_model(inner) else f"{label(inner).upper()},..." if not choices(inner) else "LIST"
    return label(member).upper()


def help_text(node: Node) -> str:
    """The description, then type (where the metavar does not say it), range and default in brackets."""
    if node.shape.is_value:
        description = node.field.description or ""
        kind = label(node.field.annotation)
        is_shown = metavar(node).startswith("{") or metavar(node) == kind.upper()
        facts = [*([] if is_shown else [kind]), *constraints(node)]
    else:
        description, facts = f"Which {node.name}." if node.shape.is_choice else "", []
    if node.field.is_required():
        facts.append("required")
    elif node.shape.is_choice:
        child = node.owner.child(node.name)
        facts.append(f"now: {child.kind if child else 'none'}")
    elif node.shape.is_value:
        facts.append(f"default: {node.default_text()}")
    if node.field.deprecation_message is not None:
        facts.append(f"deprecated: {node.field.deprecation_message}")
    return f"{description} ({'; '.join(facts)})".strip() if facts else description


def constraints(node: Node) -> list[str]:
    """The range of a field in words: `> 0`, `at least 1 item`, `pattern ...`."""
    found: list[str] = []
    for meta in _metadata(node):
        found += [f"{sign} {getattr(meta, name)}" for name, sign in _BOUNDS if getattr(meta, name, None) is not None]
        if getattr(meta, "min_length", None):
            found.append(f"at least {meta.min_length} long")
        if getattr(meta, "max_length", None) is not None:
            found.append(f"at most {meta.max_length} long")
        if getattr(meta, "pattern", None):
            found.append(f"pattern {meta.pattern}")
    return found


def _metadata(node: Node) -> list[Any]:
    """The constraints on the field, and those of a single type inside `... | None`."""
    inner = node.field.annotation
    layers = [*getattr(inner, "__metadata__", ())]
    for member in getattr(inner, "__args__", ()):
        layers += getattr(member, "__metadata__", ()) if node.shape.optional else ()
    flat = [*node.field.metadata]
    for layer in layers:
        flat += getattr(layer, "metadata", [layer])
    return flat
