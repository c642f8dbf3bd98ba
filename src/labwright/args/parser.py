"""The argparse parser of a configuration: every field a flag with its help, grouped by part."""

import argparse
import textwrap
from collections.abc import Iterable
from typing import Any

from .annotations import choices, is_bool, union_members
from .cut import Cut
from .draft import Draft
from .help import HelpFormatter, help_text, metavar
from .names import Names
from .node import Node


def build_parser(
    names: Names,
    titles: Iterable[str],
    *,
    prog: str,
    seen: Cut | None = None,
    own: argparse.ArgumentParser | None = None,
) -> argparse.ArgumentParser:
    """A plain parser with a flag for each field in force, and the arguments of `own`; values stay texts."""
    parser = argparse.ArgumentParser(
        prog=prog,
        usage=f"{prog} [--flag=value ...]" if own is None else None,
        description=own.description if own else None,
        epilog=own.epilog if own else None,
        parents=[own] if own else [],
        formatter_class=HelpFormatter,
        allow_abbrev=False,
        add_help=False,
        argument_default=argparse.SUPPRESS,
    )
    for title, draft in zip(titles, names.drafts, strict=True):
        _add_draft(parser, draft, names, title, _first_line(draft.model.__doc__) if title != "arguments" else "")
    _add_general(parser, names, has_help=own is not None and own.add_help)
    for dest, target in (seen.targets if seen else {}).items():
        if target.item is not None:
            parser.add_argument(f"--{dest}", dest=dest, action="append", help=argparse.SUPPRESS)
    return parser


def _add_general(parser: argparse.ArgumentParser, names: Names, *, has_help: bool) -> None:
    group = parser.add_argument_group("general")
    if not has_help:
        text = "Show this help; flags given with it choose what is shown."
        group.add_argument("-h", "--help", action="store_true", help=text)
    if "config" not in names.paths:
        group.add_argument("--config", action="append", metavar="FILE", help="YAML or JSON file of values; repeatable.")
    if "print_config" not in names.paths:
        text = "Print the effective configuration and its sources."
        group.add_argument("--print_config", action="store_true", help=text)
        group.add_argument("--print-config", action="store_true", dest="print_config", help=argparse.SUPPRESS)


def _add_draft(parser: argparse.ArgumentParser, draft: Draft, names: Names, title: str, description: str) -> None:
    group = parser.add_argument_group(title, description or None)
    for node in draft.nodes.values():
        if node.shape.is_value:
            _add_flag(group, node, names)
    for node in draft.nodes.values():
        if not node.shape.is_value:
            _add_part(parser, node, names)


def _add_part(parser: argparse.ArgumentParser, node: Node, names: Names) -> None:
    child = node.owner.child(node.name)
    chosen = f" ({child.kind})" if child is not None and node.shape.is_choice else ""
    facts = [node.field.description or "", _first_line(child.model.__doc__) if child is not None else ""]
    if node.shape.is_choice:
        facts.append(_others(node, child))
    lines = [line for fact in facts if fact for line in textwrap.wrap(fact, 100)]
    group = parser.add_argument_group(node.path + chosen, "\n".join(lines) or None)
    _add_flag(group, node, names, hidden=not node.shape.is_choice)
    if child is None:
        return
    for inner in child.nodes.values():
        if inner.shape.is_value:
            _add_flag(group, inner, names, hidden=inner.is_discriminator or _is_fixed(inner))
    for inner in child.nodes.values():
        if not inner.shape.is_value:
            _add_part(parser, inner, names)


def _others(node: Node, child: Draft | None) -> str:
    """The line on how to choose another variant, with the fields that it would bring."""
    mine = set(child.model.model_fields) if child is not None else set[str]()
    parts: list[str] = []
    for kind, model in node.shape.variants.items():
        if child is None or model is not child.model:
            more = ", ".join(name for name in model.model_fields if name not in mine)
            parts.append(f"--{node.path}={kind}" + (f" ({more})" if more else ""))
    return f"Choose another with {'; '.join(parts)}." if parts else ""


def _add_flag(group: argparse._ArgumentGroup, node: Node, names: Names, *, hidden: bool = False) -> None:  # pyright: ignore[reportPrivateUsage]
    short = names.short(node)
    known = [f"--{short}"] if short else []
    known += [f"--{alias}" for alias in node.aliases if alias != node.name and "." not in node.path]
    options: dict[str, Any] = {"nargs": "?", "const": "true"} if is_bool(node.field.annotation) else {}
    group.add_argument(
        *known,
        f"--{node.path}",
        dest=node.path,
        action="append",
        metavar=metavar(node),
        help=argparse.SUPPRESS if hidden else help_text(node).replace("%", "%%"),
        **options,
    )


def _is_fixed(node: Node) -> bool:
    """Whether the field can hold one value only, as the `kind` of a part that is no choice."""
    annotation = node.field.annotation
    return not node.shape.optional and len(union_members(annotation)) == 1 and len(choices(annotation)) == 1


def _first_line(doc: str | None) -> str:
    return (doc or "").strip().partition("\n")[0]
