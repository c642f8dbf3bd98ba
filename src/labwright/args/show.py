"""The effective configuration as YAML which can be given back as `--config`, each value with its source."""

from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel

from .draft import MASK, Draft, Node
from .read import Reading


def config_yaml(reading: Reading) -> str:
    """The configurations of `reading`, one section each; secrets are masked and commented out."""
    sections: list[str] = []
    for name, draft in reading.drafts.items():
        title = [f"# {name}"] if len(reading.drafts) > 1 else []
        data = reading.models[name].model_dump(mode="json", by_alias=False)
        lines = list(_lines(draft, reading.models[name], data, indent=""))
        sections.append("\n".join([*title, *lines]) + "\n")
    return "\n".join(sections)


def _lines(draft: Draft, model: BaseModel, data: dict[str, Any], indent: str) -> Iterator[str]:
    for node in draft.nodes.values():
        if node.path in ("config", "print_config"):
            continue  # they say how to read a configuration and are not part of it
        child, value = draft.child(node.name), getattr(model, node.name)
        if child is not None and isinstance(value, BaseModel):
            yield f"{indent}{node.name}:"
            yield from _lines(child, value, data[node.name], indent + "  ")
        else:
            yield f"{indent}{_entry(node, data[node.name])}  # {_source(node, draft)}"


def _entry(node: Node, value: Any) -> str:
    import yaml

    if node.secret and value is not None:
        return f"# {node.name}: '{MASK}'"
    text = yaml.safe_dump({node.name: value}, default_flow_style=True, width=10**9, allow_unicode=True, sort_keys=False)
    return text.strip()[1:-1]


def _source(node: Node, draft: Draft) -> str:
    return draft.kind_source.label if node.name == "kind" and draft.kind_source else draft.source_of(node.name).label
