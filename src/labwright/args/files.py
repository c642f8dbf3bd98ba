"""Configuration files: YAML or JSON, read within bounds and executing nothing.

YAML is read by the 1.2 rules people expect: `no` and `on` are texts, `1e-4` is a number, dates stay texts. Merge keys
are not known, duplicate keys are errors, and aliases may not make a file larger than `MAX_NODES` values or deeper
than `MAX_DEPTH` levels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .errors import UserError
from .json_text import MAX_DEPTH, Malformed, decode_json

if TYPE_CHECKING:
    import yaml

MAX_BYTES = 1_000_000
MAX_NODES = 20_000
_TOO_DEEP = f"is nested too deeply (at most {MAX_DEPTH} levels)"


def load_file(path: Path) -> dict[str, Any]:
    """The mapping that a YAML or JSON file holds; an empty file is an empty mapping.

    Raises:
        UserError: the file is missing, too large, nested too deeply, malformed, or no mapping.
    """
    text = _read(path)
    try:
        data = _load_json(text) if path.suffix.lower() == ".json" else _load_yaml(text)
    except (UserError, Malformed) as error:
        raise UserError(f"{path}: {error}") from None
    if data is None:
        return {}
    if not isinstance(data, dict) or not all(isinstance(key, str) for key in data):  # pyright: ignore[reportUnknownVariableType]
        raise UserError(f"{path}: must hold `key: value` pairs at its top")
    return data  # pyright: ignore[reportUnknownVariableType]


def yaml_text(values: Mapping[str, Any]) -> str:
    """JSON-like `values` over several lines, written the way people write presets, as `load_file` reads them back."""
    import yaml

    from .yaml12 import dumper_class

    return yaml.dump(dict(values), Dumper=dumper_class(), sort_keys=False, allow_unicode=True, width=120)


def yaml_entry(key: str, value: Any) -> str:
    """`key: value` on one line, as `load_file` reads it back."""
    import yaml

    from .yaml12 import dumper_class

    text = yaml.dump(
        {key: value},
        Dumper=dumper_class(),
        default_flow_style=True,
        width=float("inf"),
        allow_unicode=True,
        sort_keys=False,
    )
    return text.strip()[1:-1]


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
    return decode_json(text)


def _load_yaml(text: str) -> Any:
    import yaml

    from .yaml12 import loader_class

    try:
        _check_events(text)
        loader: Any = loader_class()(text)
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
        raise UserError(f"is not valid YAML: {_problem(error)}{line}") from None
    except yaml.YAMLError:
        raise UserError("is not valid YAML: it holds a character that YAML does not allow") from None


def _problem(error: "yaml.MarkedYAMLError") -> str:
    """What is wrong, without the words of the file, which may be secret; Python's tags are named."""
    from yaml.composer import ComposerError
    from yaml.constructor import ConstructorError

    problem = error.problem or "it is malformed"
    if not isinstance(error, (ComposerError, ConstructorError)):
        return problem
    words, _, name = problem.partition(" '")
    is_python = name.startswith("tag:yaml.org,2002:python/")
    return f"{words} !!{name.removeprefix('tag:yaml.org,2002:')[:-1]}" if is_python else words


def _check_events(text: str) -> None:
    """Refuse a file that is too large or too deep, before anything recursive looks at it."""
    import yaml

    from .yaml12 import loader_class

    parse = cast(Any, yaml.parse)
    depth = 0
    for count, event in enumerate(parse(text, Loader=loader_class())):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > MAX_DEPTH:
            raise UserError(_TOO_DEEP)
        if count > 2 * MAX_NODES:
            raise UserError(f"holds more than {MAX_NODES:,} values")


def _check_expansion(root: Any) -> None:
    """Refuse aliases which would make the file larger than `MAX_NODES`, or deeper than `MAX_DEPTH`."""
    measured: dict[int, tuple[int, int]] = {}

    def measure(node: Any, above: frozenset[int]) -> tuple[int, int]:
        """How many values the node stands for, and how many levels deep it goes."""
        if id(node) in above:
            raise UserError("an alias contains itself")
        if id(node) not in measured:
            children = _children(node)
            parts = [measure(child, above | {id(node)}) for child in children or ()]
            size = 1 + sum(size for size, _ in parts)
            depth = 0 if children is None else 1 + max((depth for _, depth in parts), default=0)
            if size > MAX_NODES:
                raise UserError(f"its aliases stand for more than {MAX_NODES:,} values")
            if depth > MAX_DEPTH:
                raise UserError(_TOO_DEEP)
            measured[id(node)] = size, depth
        return measured[id(node)]

    measure(root, frozenset())


def _children(node: Any) -> list[Any] | None:
    """The nodes below a YAML node: the items of a list, the keys and values of a mapping; None below a plain value."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return node.value if isinstance(node, yaml.SequenceNode) else None
