"""Filter expressions over runs: `val/accuracy>0.9 and model.kind=="mlp"`.

    expression   comparisons joined by `and`, `or`, `not` and parentheses; `and` binds stronger than `or`
    comparison   NAME == != < <= > >= VALUE   NAME in [VALUE, ...]   NAME not in [...]   NAME contains VALUE
                 NAME =~ "regular expression"   NAME alone: it is true, or there is something
    NAME         as in `fields`
    VALUE        1, -2.5, 1e-3, true, false, null, "text", 'text', a word, [64, 32]

A comparison with what a run does not have is false, `!=` too; `== null` asks for just that. `tag` stands for any tag.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, NoReturn, cast

from labwright.args.errors import UserError
from labwright.args.wording import quoted

from .expressions import ORDERS, Comparison, Expression, Joined, Not, Truth
from .fields import Fields
from .summary import RunSummary

MAX_DEPTH = 50
_TOKEN = re.compile(
    r"""\s*(?:(?P<sign>==|!=|<=|>=|=~|[<>=()\[\],])"""
    r"""|(?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')"""
    r"""|(?P<word>[^\s()\[\],'"=!<>~]+))""",
    re.DOTALL,
)
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_CONSTANTS = {"true": True, "false": False, "null": None, "none": None}
_KEYWORDS = ("and", "or", "not", "in", "contains")


def select(runs: Sequence[RunSummary], text: str) -> list[RunSummary]:
    """The runs that the filter expression `text` fits.

    Raises:
        UserError: it is malformed, or asks for what no run has.
    """
    expression = parse(text)
    if not runs:
        return []
    test = expression.bind(Fields(runs))
    return [run for run in runs if test(run)]


def is_expression(text: str) -> bool:
    """Whether `text` can only be meant as a filter: it has a sign of one, or several words."""
    return re.search(r"[<>=~\s]", text.strip()) is not None


def parse(text: str) -> Expression:
    """What `text` says; `parse(str(expression)) == expression`."""
    parser = _Parser(text)
    expression = parser.joined("or", parser.conjunction)
    if parser.token.kind != "end":
        parser.fail("expected `and` or `or`")
    return expression


class _Token(NamedTuple):
    kind: str
    """sign, text, word, keyword or end."""
    text: str
    position: int


class _Parser:
    """Reads an expression from left to right; `token` is the next one."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.token = _Token("end", "", 0)
        self._position = self._depth = 0
        self._advance()

    def fail(self, what: str) -> NoReturn:
        rest = self.text[self.token.position :]
        place = f"at {quoted(rest, 30)} (character {self.token.position + 1})" if rest else "at its end"
        raise UserError(f"filter: {what}, {place}")

    def joined(self, word: str, read: Callable[[], Expression]) -> Expression:
        parts = [read()]
        while self._takes(word):
            parts.append(read())
        return parts[0] if len(parts) == 1 else Joined(word, tuple(parts))

    def conjunction(self) -> Expression:
        return self.joined("and", self._single)

    def _single(self) -> Expression:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail(f"nested too deeply, at most {MAX_DEPTH} levels")
        if self._takes("not"):
            expression: Expression = Not(self._single())
        elif self._takes("("):
            expression = self.joined("or", self.conjunction)
            self._expect(")")
        else:
            expression = self._comparison()
        self._depth -= 1
        return expression

    def _comparison(self) -> Expression:
        if self.token.kind != "word":
            self.fail("expected a name, such as val/accuracy")
        name = self._advance().text
        for sign in ("==", "!=", "=", *ORDERS):
            if self._takes(sign):
                return self._compared(name, "==" if sign == "=" else sign)
        if self._takes("=~"):
            return Comparison(name, "=~", self._pattern())
        if self._takes("contains"):
            return Comparison(name, "contains", self._present())
        if self._takes("in"):
            return Comparison(name, "in", self._list())
        if self._takes("not"):
            self._expect("in")
            return Comparison(name, "not in", self._list())
        return Truth(name)

    def _compared(self, name: str, sign: str) -> Comparison:
        if sign in ("==", "!="):
            return Comparison(name, sign, self._value())
        start = self.token
        value = self._value()
        is_ordered = isinstance(value, int | float) and not isinstance(value, bool)
        if not is_ordered and not (isinstance(value, str) and (start.kind == "text" or start.text[0].isdigit())):
            self.token = start
            self.fail(f"{sign} compares with a number, a date, or a text in quotes")
        return Comparison(name, sign, value)

    def _present(self) -> Any:
        start = self.token
        value = self._value()
        if value is None:
            self.token = start
            self.fail("nothing contains null; ask with == null")
        return value

    def _pattern(self) -> str:
        start = self.token
        pattern = self._value()
        try:
            re.compile(pattern)
        except (re.error, TypeError, OverflowError, RecursionError) as error:
            self.token = start
            self.fail(f"not a regular expression in quotes ({error})")
        return pattern

    def _list(self) -> list[Any]:
        if self.token.text != "[":
            self.fail("expected a list, such as [1, 2]")
        return cast(list[Any], self._value())

    def _value(self) -> Any:
        if self._takes("["):
            return self._items()
        if self.token.kind == "text":
            return re.sub(r"\\([\\\"'])", r"\1", self._advance().text[1:-1])
        if self.token.kind != "word":
            self.fail('expected a value, such as 0.9, true or "mlp"')
        return _constant(self._advance().text)

    def _items(self) -> list[Any]:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self.fail(f"nested too deeply, at most {MAX_DEPTH} levels")
        items: list[Any] = []
        while not self._takes("]"):
            if items:
                self._expect(",")
            items.append(self._value())
        self._depth -= 1
        return items

    def _takes(self, text: str) -> bool:
        if self.token.kind not in ("sign", "keyword") or self.token.text != text:
            return False
        self._advance()
        return True

    def _expect(self, text: str) -> None:
        if not self._takes(text):
            self.fail(f"expected {text}")

    def _advance(self) -> _Token:
        """The next token, which is now passed."""
        passed = self.token
        start = len(self.text) - len(self.text[self._position :].lstrip())
        found = _TOKEN.match(self.text, start)
        if found is None:
            self.token = _Token("end", "", start)
            if start < len(self.text):
                self.fail("a quote without its end" if self.text[start] in "\"'" else "this is no part of a filter")
            return passed
        kind, word = cast(str, found.lastgroup), found[cast(str, found.lastgroup)]
        is_keyword = kind == "word" and word.lower() in _KEYWORDS
        self.token = _Token("keyword", word.lower(), start) if is_keyword else _Token(kind, word, start)
        self._position = found.end()
        return passed


def _constant(word: str) -> Any:
    if word.lower() in _CONSTANTS:
        return _CONSTANTS[word.lower()]
    if not _NUMBER.fullmatch(word):
        return word
    number = float(word)
    if not math.isfinite(number):
        return word
    return int(word) if number.is_integer() and word.lstrip("+-").isdigit() and abs(number) < 2**53 else number
