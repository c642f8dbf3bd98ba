"""Decoded fields as people and scripts read them."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeGuard

from labwright.runs.sizes import count_text

if TYPE_CHECKING:
    import numpy as np

_MOST_VALUES = 200
"""An array of more is shown by its corners, one of three axes and more not at all."""


def value_text(value: Any, class_names: Sequence[str] = ()) -> str:
    """A decoded field as text: a class by number and name, JSON on several lines, an array by shape and corners."""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value} ({class_names[value]})" if 0 <= value < len(class_names) else str(value)
    if is_array(value):
        return _array_text(value)
    if isinstance(value, Mapping) and any(map(is_array, value.values())):
        return "\n".join(f"{name}: {value_text(each)}" for name, each in value.items())
    if isinstance(value, bytes | memoryview):
        return f"{count_text(len(value), 'byte')} without a codec"
    return json.dumps(value, indent=2, ensure_ascii=False, default=repr)


def class_text(value: Any, class_names: Sequence[str]) -> str:
    """The name of a class, or the value where there is none."""
    is_named = isinstance(value, int) and 0 <= value < len(class_names)
    return class_names[value] if is_named else value_text(value)


def value_document(value: Any) -> Any:
    """A decoded field as JSON: an array by its type, shape, and the least and largest of its values."""
    if is_array(value):
        return _array_facts(value)
    if isinstance(value, Mapping):
        return {str(name): value_document(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [value_document(each) for each in value]
    if isinstance(value, bytes | memoryview):
        return {"num_bytes": len(value)}
    return value


def is_array(value: Any) -> "TypeGuard[np.ndarray]":
    return hasattr(value, "dtype") and hasattr(value, "shape")


def array_title(array: "np.ndarray") -> str:
    """`uint8 [28, 28]`."""
    return f"{array.dtype} {list(array.shape)}"


def _array_text(array: "np.ndarray") -> str:
    import numpy as np

    facts = _array_facts(array)
    told = [f"{name} {facts[name]:.6g}" for name in ("min", "max", "mean") if facts.get(name) is not None]
    title = f"{array_title(array)}{': ' * bool(told)}{', '.join(told)}"
    if array.ndim > 2:
        return title
    return f"{title}\n{np.array2string(array, threshold=_MOST_VALUES, edgeitems=3, max_line_width=100)}"


def _array_facts(array: "np.ndarray") -> dict[str, Any]:
    facts: dict[str, Any] = {"dtype": str(array.dtype), "shape": list(array.shape)}
    if array.size and array.dtype.kind in "buif":
        amounts = {"min": array.min(), "max": array.max(), "mean": array.mean(dtype=float)}
        facts |= {name: _finite(float(amount)) for name, amount in amounts.items()}
    return facts


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
