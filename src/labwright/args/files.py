"""Configuration files: YAML or JSON, read within bounds and executing nothing.

YAML is read by the 1.2 rules people expect: `no` and `on` are texts, `1e-4` is a number, dates stay texts. Merge keys
are not known, duplicate keys are errors, and aliases may not multiply a file beyond `MAX_NODES` values.
"""

import json
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .errors import UserError

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
MAX_DEPTH = 50


def load_file(path: Path) -> dict[str, Any]:
    """The mapping that a YAML or JSON file holds; an empty file is an empty mapping.

    Raises:
        UserError: the file is missing, too large, nested too deeply, malformed, or no mapping.
    """
    text = _read(path)
    try:
        data = _load_json(text) if path.suffix.lower() == ".json" else _load_yaml(text)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    except RecursionError:
        raise UserError(f"{path}: nested too deeply (at most {MAX_DEPTH} levels)") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):  # pyright: ignore[reportUnknownVariableType]
        raise UserError(f"{path}: must hold `key: value` pairs at its top")
    return data  # pyright: ignore[reportUnknownVariableType]


def _read(path: Path) -> str:
    try:
        if path.is_dir():
            raise UserError(f"{path}: is a folder, not a file")
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise UserError(f"{path}: is larger than {MAX_BYTES:,} bytes")
        return data.decode("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: is not UTF-8 text") from None


def _load_json(text: str) -> Any:
    if not text.strip():
        return None
    if text.count(",") + text.count("[") + text.count("{") > MAX_NODES:
        raise UserError(f"holds more than {MAX_NODES:,} values")
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except ValueError as error:
        raise UserError(f"is not valid JSON ({error})") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} occurs twice")
    return result


def _load_yaml(text: str) -> Any:
    import yaml

    loader_class = _loader_class()
    try:
        _check_events(text, loader_class)
        loader = loader_class(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            _check_expansion(node)
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f" (line {error.problem_mark.line + 1})" if error.problem_mark else ""
        raise UserError(f"is not valid YAML: {error.problem or error}{line}") from None
    except (yaml.YAMLError, ValueError) as error:
        if isinstance(error, UserError):
            raise
        raise UserError(f"is not valid YAML: {str(error).splitlines()[0]}") from None


def _check_events(text: str, loader_class: "type[yaml.SafeLoader]") -> None:
    """Refuse a file that is too large or too deep, before anything recursive looks at it."""
    import yaml

    depth = 0
    for count, event in enumerate(yaml.parse(text, Loader=loader_class)):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UserError(f"nested too deeply (at most {MAX_DEPTH} levels)")
        if count > 2 * MAX_NODES:
            raise UserError(f"holds more than {MAX_NODES:,} values")


def _check_expansion(root: "yaml.Node") -> None:
    """Refuse aliases which would make the file larger than `MAX_NODES`, or contain themselves."""
    sizes: dict[int, int] = {}

    def size(node: Any, above: frozenset[int]) -> int:
        if id(node) in above:
            raise UserError("an alias contains itself")
        if id(node) not in sizes:
            children: list[Any] = node.value if isinstance(node.value, list) else []
            flat = [part for child in children for part in (child if isinstance(child, tuple) else (child,))]
            sizes[id(node)] = 1 + sum(size(child, above | {id(node)}) for child in flat)
        if sizes[id(node)] > MAX_NODES:
            raise UserError(f"its aliases stand for more than {MAX_NODES:,} values")
        return sizes[id(node)]

    size(root, frozenset())


@cache
def _loader_class() -> "type[yaml.SafeLoader]":
    import yaml

    base: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

    class Loader(base):
        """YAML's safe loader with the scalar rules of YAML 1.2."""

        yaml_implicit_resolvers: dict[str, Any] = {}

        def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
            mapping: dict[Any, Any] = {}
            for key_node, value_node in node.value:
                key = self.construct_object(key_node, deep=True)
                if not isinstance(key, (str, int, float, bool, type(None))):
                    raise UserError(f"a key must be a plain value (line {key_node.start_mark.line + 1})")
                if key in mapping:
                    raise UserError(f"the key {key!r} occurs twice (line {key_node.start_mark.line + 1})")
                mapping[key] = self.construct_object(value_node, deep=True)
            return mapping

    def construct_map(loader: Any, node: Any) -> dict[Any, Any]:
        return loader.construct_mapping(node)

    def construct_int(loader: Any, node: Any) -> int:
        return int(
            loader.construct_scalar(node).replace("_", ""), 0 if "0x" in node.value or "0o" in node.value else 10
        )

    Loader.add_constructor("tag:yaml.org,2002:map", construct_map)
    Loader.add_constructor("tag:yaml.org,2002:int", construct_int)
    for tag, pattern, first in (
        ("null", r"~|null|Null|NULL|", ["~", "n", "N", ""]),
        ("bool", r"true|True|TRUE|false|False|FALSE", list("tTfF")),
        ("int", r"[-+]?[0-9][0-9_]*|0o[0-7]+|0x[0-9a-fA-F]+", list("-+0123456789")),
        (
            "float",
            r"[-+]?(?:\.[0-9]+|[0-9][0-9_]*(?:\.[0-9_]*)?)(?:[eE][-+]?[0-9]+)?|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)",
            list("-+0123456789."),
        ),
    ):
        Loader.add_implicit_resolver(f"tag:yaml.org,2002:{tag}", re.compile(rf"^(?:{pattern})$"), first)
    return Loader
