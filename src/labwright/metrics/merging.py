"""What several metrics have measured of their shares, as one metric of them all."""

from collections.abc import Sequence
from numbers import Number
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from labwright.args import UserError

_NAMES = (str, bytes, torch.dtype, torch.device)
"""What may be learned from the first batch, and counts nothing."""


def merge_attributes(own: object, others: Sequence[object], fresh: object, where: str) -> None:
    """Make the attributes of `own` those of a metric that had measured what all have; `fresh` has measured nothing.

    Raises:
        UserError: an attribute has changed that is no number, tensor, list, set or dict of these, nor a name; or it
            began as None and is a number on several ranks, which may be a sum or a setting.
    """
    for name, value in list(vars(own).items()):
        of_others = [vars(other).get(name) for other in others]
        vars(own)[name] = merged(value, of_others, vars(fresh).get(name), f"{where}.{name}")


def merged(value: Any, others: Sequence[Any], fresh: Any, where: str) -> Any:
    """Numbers and tensors add up from where `fresh` is, lists follow each other, and what can `merge` does.

    Dicts are merged key by key, sets united; what nothing has changed, and texts that all agree on, stay.
    """
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
    if all(_equal(each, fresh) for each in values):
        return value
    if all(isinstance(each, dict) for each in values):
        return _merged_dict(values, fresh, where)
    if all(isinstance(each, set | frozenset) for each in values):
        return cast(Any, value).union(*others)
    if fresh is None and sum(isinstance(each, int | float) and not isinstance(each, bool) for each in values) > 1:
        raise UserError(
            f"the ranks cannot tell whether {where} is a sum or a setting: it begins as None; begin a sum at 0, take a "
            "setting in __init__, or give its class a merge(others, fresh)"
        )
    if any(_adds_up(each) for each in values) and all(each is None or _adds_up(each) for each in values):
        return _sum(values, fresh)
    if all(isinstance(each, bool) for each in values) and fresh in (False, None):
        return any(values)
    learned = [each for each in values if each is not None]
    if all(isinstance(each, _NAMES) and _equal(each, learned[0]) for each in learned):
        return learned[0]
    raise UserError(
        f"the ranks cannot add up {where}, a {type(value).__name__}; give its class a merge(others, fresh), or measure "
        "with tensors, numbers, lists and dicts"
    )


def _joined(value: list[Any], others: Sequence[Any], fresh: list[Any], where: str) -> list[Any]:
    if fresh and len(fresh) == len(value) and all(callable(getattr(each, "merge", None)) for each in value):
        columns = zip(value, *others, strict=True)
        return [merged(own, of_others, start, where) for (own, *of_others), start in zip(columns, fresh, strict=True)]
    return [*value, *(each for other in others for each in other[len(fresh) :])]


def _merged_dict(values: Sequence[dict[Any, Any]], fresh: Any, where: str) -> dict[Any, Any]:
    result, start = values[0], fresh if isinstance(fresh, dict) else {}
    for key in dict.fromkeys(key for each in values for key in each):
        own, *others = (each[key] for each in values if key in each)
        begun = start[key] if key in start else _nothing_like(own)
        result[key] = merged(own, others, begun, f"{where}[{key!r}]") if others else own
    return result


def _nothing_like(value: Any) -> Any:
    """What a member of a dict began at that came into being with the first sample."""
    if isinstance(value, list | dict):
        return type(value)()
    return 0 if isinstance(value, int | float) and not isinstance(value, bool) else None


def _equal(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, Tensor):
        return torch.equal(one.cpu(), other.cpu())
    if isinstance(one, np.ndarray):
        return np.array_equal(one, other)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_equal, one, other))
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_equal(value, other[key]) for key, value in one.items())
    return one == other


def _adds_up(value: Any) -> bool:
    return isinstance(value, Tensor | np.ndarray | Number) and not isinstance(value, bool)


def _sum(values: Sequence[Any], fresh: Any) -> Any:
    there = [value for value in values if value is not None]
    start = fresh if _adds_up(fresh) else 0
    total = there[0]
    for value in there[1:]:
        total = total + (value - start)
    return total
