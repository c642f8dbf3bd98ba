"""JSON from people: duplicate keys are errors, and depth and numbers are bounded."""

import json
from typing import Any

from .wording import quoted

MAX_DEPTH = 50
MAX_DIGITS = 4_000
"""Python refuses to convert longer integers, since that takes quadratic time."""


class Malformed(ValueError):
    """A text which is not even of the right form."""


def decode_json(text: str) -> Any:
    """`text` read as JSON.

    Raises:
        Malformed: it is not JSON, or goes beyond the bounds.
    """
    try:
        value = json.loads(text, object_pairs_hook=_unique, parse_int=_int)
    except json.JSONDecodeError as error:
        place = f"column {error.colno}" if error.lineno == 1 else f"line {error.lineno}, column {error.colno}"
        raise Malformed(f"is not valid JSON ({error.msg} at {place})") from None
    except RecursionError:
        raise Malformed(f"is nested too deeply (at most {MAX_DEPTH} levels)") from None
    _check_depth(value)
    return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise Malformed(f"has the key {quoted(key)} twice")
        result[key] = value
    return result


def _int(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise Malformed(f"holds a number of more than {MAX_DIGITS:,} digits")
    return int(text)


def _check_depth(value: Any) -> None:
    level: list[Any] = [value]
    depth = 0
    while level:
        if depth > MAX_DEPTH:
            raise Malformed(f"is nested too deeply (at most {MAX_DEPTH} levels)")
        level = [item for collection in level for item in _items(collection)]
        depth += 1


def _items(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [*value.values()]
    return value if isinstance(value, list) else []  # pyright: ignore[reportUnknownVariableType]
