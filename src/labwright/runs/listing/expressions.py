"""What a filter over runs says, and whether a run fits it. As a text each is what `parse` makes it of again."""

import math
import operator
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, cast

from .fields import Fields
from .summary import RunSummary

Test = Callable[[RunSummary], bool]
ORDERS: dict[str, Callable[[Any, Any], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
"""The signs that compare by size."""
_MANY = ("tag", "tags")


@dataclass(frozen=True)
class Truth:
    """NAME alone."""

    name: str

    def bind(self, fields: Fields) -> Test:
        read = fields.reader(self.name)
        return lambda run: bool(read(run))

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True)
class Comparison:
    """NAME OPERATOR VALUE."""

    name: str
    operator: str
    value: Any

    def bind(self, fields: Fields) -> Test:
        read = fields.reader(self.name)
        if self.value is None:
            return (lambda run: read(run) is None) if self.operator == "==" else (lambda run: read(run) is not None)
        is_negated = self.operator in ("!=", "not in")
        fits = _fitting({"!=": "==", "not in": "in"}.get(self.operator, self.operator), self.value)
        is_whole = self.operator == "contains" or (_is_list(self.value) and self.operator in ("==", "!="))
        if self.name in _MANY and not is_whole:
            fits = _any_of(fits)

        def test(run: RunSummary) -> bool:
            found = read(run)
            return found is not None and fits(found) != is_negated

        return test

    def __str__(self) -> str:
        return f"{self.name} {self.operator} {_spelled(self.value)}"


@dataclass(frozen=True)
class Not:
    """not EXPRESSION."""

    of: "Expression"

    def bind(self, fields: Fields) -> Test:
        test = self.of.bind(fields)
        return lambda run: not test(run)

    def __str__(self) -> str:
        return f"not ({self.of})"


@dataclass(frozen=True)
class Joined:
    """EXPRESSION and EXPRESSION ..., or the same with `or`."""

    word: str
    parts: "tuple[Expression, ...]"

    def bind(self, fields: Fields) -> Test:
        tests = [part.bind(fields) for part in self.parts]
        decide = all if self.word == "and" else any
        return lambda run: decide(test(run) for test in tests)

    def __str__(self) -> str:
        return f" {self.word} ".join(f"({part})" for part in self.parts)


Expression = Truth | Comparison | Not | Joined


def _fitting(sign: str, wanted: Any) -> Callable[[Any], bool]:
    """Whether something found fits an operator and its value."""
    if sign == "==":
        return lambda found: _equal(found, wanted)
    if sign == "in":
        return lambda found: any(_equal(found, item) for item in wanted)
    if sign == "contains":
        return lambda found: _contains(found, wanted)
    if sign == "=~":
        search = re.compile(wanted).search
        return lambda found: isinstance(found, str) and search(found) is not None
    order = ORDERS[sign]
    return lambda found: _comparable(found, wanted) and order(found, wanted)


def _any_of(fits: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda found: any(map(fits, found))


def _equal(found: Any, wanted: Any) -> bool:
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted


def _contains(found: Any, wanted: Any) -> bool:
    if isinstance(found, str):
        return isinstance(wanted, str) and wanted in found
    return _is_list(found) and any(_equal(item, wanted) for item in cast(Iterable[Any], found))


def _comparable(found: Any, wanted: Any) -> bool:
    if isinstance(wanted, str):
        return isinstance(found, str)
    return isinstance(found, int | float) and not isinstance(found, bool) and not math.isnan(found)


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _spelled(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_spelled, cast(list[Any], value)))}]"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value).lower().replace("none", "null")
