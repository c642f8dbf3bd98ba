"""args.yaml: a run's arguments, written the way people write presets."""

import re
from collections.abc import Mapping
from typing import Any

import yaml


def args_yaml(args: Mapping[str, Any]) -> str:
    """JSON-like `args` as YAML that reads back equal by the rules of YAML 1.1 and of 1.2."""
    return yaml.dump(dict(args), Dumper=_ArgsDumper, sort_keys=False, allow_unicode=True, width=120)


class _ArgsDumper(yaml.SafeDumper):
    """Mappings over several lines, plain lists on one, no anchors."""

    def ignore_aliases(self, data: Any) -> bool:
        return True

    def represent_str(self, data: str) -> yaml.ScalarNode:
        # In PyYAML's other styles rare line breaks (U+0085) do not come back as they were.
        style = None if data.isprintable() else '"'
        return self.represent_scalar(  # pyright: ignore[reportUnknownMemberType]
            "tag:yaml.org,2002:str", data, style=style
        )

    def represent_sequence(self, tag: str, sequence: Any, flow_style: bool | None = None) -> yaml.SequenceNode:
        is_plain = not any(isinstance(item, dict | list) for item in sequence)
        return super().represent_sequence(tag, sequence, flow_style=is_plain)

    def represent_mapping(self, tag: str, mapping: Any, flow_style: bool | None = None) -> yaml.MappingNode:
        return super().represent_mapping(tag, mapping, flow_style=not mapping)


_ArgsDumper.add_representer(str, _ArgsDumper.represent_str)

# PyYAML writes by YAML 1.1, where 1e-4 is a text and needs no quotes; for a reader of 1.2 it is a number and does.
_ArgsDumper.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
    "tag:yaml.org,2002:float", re.compile(r"[-+.]*[0-9]"), list("-+.0123456789")
)
