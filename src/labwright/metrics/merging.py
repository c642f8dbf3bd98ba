"""What several metrics have measured of their shares, as one metric of them all."""

from collections.abc import Sequence
from numbers import Number
from typing import Any, cast

import numpy as np
from torch import Tensor

from labwright.args import UserError


def merge_attributes(own: object, others: Sequence[object], fresh: object, where: str) -> None:
    """Make the attributes of `own` those of a metric that had measured what all have; `fresh` has measured nothing.

    Raises:
        UserError: an attribute has changed that is neither a number, a tensor, a list nor something of these.
    """
    for name, value in list(vars(own).items()):
        of_others = [vars(other).get(name) for other in others]
        vars(own)[name] = merged(value, of_others, vars(fresh).get(name), f"{where}.{name}")


def merged(value: Any, others: Sequence[Any], fresh: Any, where: str) -> Any:
    """Numbers and tensors add up from where `fresh` is, lists follow each other, and what can `merge` does."""
    if callable(getattr(value, "merge", None)):
        value.merge(others, fresh)
        return value
    if hasattr(value, "merge_state"):  # torchmetrics
        for other in others:
            if other.update_called:
                value.merge_state(other)
        return value
    if callable(value):
        return value
    if isinstance(value, list) and isinstance(fresh, list):
        return _joined(cast(list[Any], value), others, cast(list[Any], fresh), where)
    values = [value, *others]
    if any(_adds_up(each) for each in values) and all(each is None or _adds_up(each) for each in values):
        return _sum(values, fresh)
    if all(isinstance(each, bool) for each in values) and fresh in (False, None):
        return any(values)
    if all(type(each) is type(value) and each == value for each in others):
        return value
    raise UserError(
        f"the ranks cannot add up {where}, a {type(value).__name__}; give its class a merge(others, fresh), or measure "
        "with tensors, numbers and lists"
    )


def _joined(value: list[Any], others: Sequence[Any], fresh: list[Any], where: str) -> list[Any]:
    if fresh and len(fresh) == len(value) and all(callable(getattr(each, "merge", None)) for each in value):
        columns = zip(value, *others, strict=True)
        return [merged(own, of_others, start, where) for (own, *of_others), start in zip(columns, fresh, strict=True)]
    return [*value, *(each for other in others for each in other[len(fresh) :])]


def _adds_up(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray | Number) and not isinstance(value, bool)


def _sum(values: Sequence[Any], fresh: Any) -> Any:
    there = [value for value in values if value is not None]
    start = fresh if _adds_up(fresh) else 0
    total = there[0]
    for value in there[1:]:
        total = total + (value - start)
    return total
