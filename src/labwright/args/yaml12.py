"""PyYAML's safe loader and dumper with the scalar rules of YAML 1.2."""

import re
from functools import cache
from typing import Any

import yaml

from .errors import UserError
from .json_text import MAX_DIGITS
from .wording import quoted

_RULES = (
    ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    ("int", r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
    (
        "float",
        r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
        list("-+0123456789."),
    ),
)


@cache
def loader_class() -> type[yaml.SafeLoader]:
    """A safe loader: no merge keys, no duplicate keys, no dates."""
    base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        yaml_implicit_resolvers: dict[str, Any] = {}

    add: Any = Loader.add_constructor
    add("tag:yaml.org,2002:map", _mapping)
    add("tag:yaml.org,2002:int", _int)
    add("tag:yaml.org,2002:float", _float)
    _add_rules(Loader)
    return Loader


@cache
def dumper_class() -> type[yaml.SafeDumper]:
    """A dumper whose texts stay texts for readers of YAML 1.1 and of 1.2, and do not break; plain lists are inline."""

    class Dumper(yaml.SafeDumper):
        def ignore_aliases(self, data: Any) -> bool:
            return True

        def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
            is_plain = not any(isinstance(item, dict | list) for item in sequence)
            return super().represent_sequence(tag, sequence, flow_style=is_plain)

    add: Any = Dumper.add_representer
    add(str, _one_line)
    _add_rules(Dumper)
    return Dumper


def _add_rules(target: Any) -> None:
    for tag, pattern, first in _RULES:
        target.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), first)


def _mapping(loader: Any, node: Any) -> dict[Any, Any]:
    if not isinstance(node, yaml.MappingNode):
        raise UserError(f"is not a mapping, though marked as one ({_line(node)})")
    mapping: dict[Any, Any] = {}
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        if not isinstance(key, (str, int, float, bool, type(None))):
            raise UserError(f"a key must be a plain value ({_line(key_node)})")
        if key in mapping:
            raise UserError(f"the key {quoted(str(key))} occurs twice ({_line(key_node)})")
        mapping[key] = loader.construct_object(value_node, deep=True)
    return mapping


def _int(loader: Any, node: Any) -> int:
    text: str = loader.construct_scalar(node)
    if len(text) > MAX_DIGITS:
        raise UserError(f"holds a number of more than {MAX_DIGITS:,} digits ({_line(node)})")
    try:
        return int(text, 0) if text.startswith(("0x", "0o")) else int(text)
    except ValueError:
        raise UserError(f"is no integer, though marked as one ({_line(node)})") from None


def _float(loader: Any, node: Any) -> float:
    text: str = loader.construct_scalar(node)
    try:
        return float(re.sub(r"\.(inf|nan)$", r"\1", text.lower()))
    except ValueError:
        raise UserError(f"is no number, though marked as one ({_line(node)})") from None


def _one_line(dumper: Any, text: str) -> yaml.ScalarNode:
    style = '"' if not text.isprintable() else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


def _line(node: Any) -> str:
    return f"line {node.start_mark.line + 1}"
