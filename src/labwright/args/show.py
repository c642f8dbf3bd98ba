"""The effective configuration as YAML which can be given back as `--config`, each value with its source."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from .base import canonical
from .draft import Draft
from .files import yaml_entry
from .layers import FLAGS_ONLY
from .node import Node
from .read import Reading
from .wording import MASK


def config_yaml(reading: Reading) -> str:
    """The configurations of `reading`, one section each; secrets are masked and commented out."""
    sections: list[str] = []
    for name, draft in reading.drafts.items():
        title = [f"# {name}"] if len(reading.drafts) > 1 else []
        lines = _lines(draft, reading.models[name], canonical(reading.models[name]), indent="")
        sections.append("\n".join([*title, *lines]) + "\n")
    return "\n".join(sections)


def _lines(draft: Draft, model: BaseModel, data: dict[str, Any], indent: str) -> Iterator[str]:
    for node in draft.nodes.values():
        if node.path in FLAGS_ONLY or node.name not in data:
            continue  # they say how to read a configuration and are not part of it
        child, value = draft.child(node.name), model.__dict__[node.name]
        if child is not None and isinstance(value, BaseModel):
            inner = [*_lines(child, value, data[node.name], indent + "  ")]
            is_empty = all(line.lstrip().startswith("#") for line in inner)
            yield from (f"{indent}{node.name}:{' {}' if is_empty else ''}", *inner)
        else:
            yield f"{indent}{_entry(node, data[node.name])}  # {draft.source_of(node.name).label}"


def _entry(node: Node, value: Any) -> str:
    if node.secret and value is not None:
        return f"# {node.name}: '{MASK}'"
    return yaml_entry(node.name, value)
