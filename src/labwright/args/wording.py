"""How errors, notes and help spell things: quoted, on one line, with the nearest known name to a typo."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

MASK = "********"
MAX_PROBLEMS = 20
"""More problems than this are counted, not shown."""


def flag_key(name: str) -> str:
    """The form in which names are compared: `-` and `_` are the same."""
    return name.replace("-", "_")


def nearest(word: str, known: Sequence[str]) -> str | None:
    """The known name a typo most likely meant, if any is near."""
    import difflib

    by_key = {flag_key(name): name for name in known}
    found = difflib.get_close_matches(flag_key(word[:100]), by_key, n=1, cutoff=0.6)
    return by_key[found[0]] if found else None


def not_one_of(word: str, known: Sequence[str]) -> str:
    guess = nearest(word, known)
    return f"{quoted(word)} is not one of {', '.join(known)}{f'; did you mean {guess}?' if guess else ''}"


def quoted(text: str, limit: int = 80) -> str:
    """`text` in quotes, shortened, on one line."""
    return f'"{one_line(text, limit)}"'


def one_line(text: str, limit: int = 80) -> str:
    """`text` shortened, its line breaks and control characters escaped."""
    text = text if len(text) <= limit else text[: limit - 3] + "..."
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def spelled(value: Any) -> str:
    """A value from a file as one would type it: `true`, `[64, 32]`."""
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


def listed(names: Iterable[str], most: int = 20) -> str:
    """The first names in a row, and how many more there are; a single one more is named too."""
    names = list(names)
    if len(names) == most + 1:
        return ", ".join(names)
    more = len(names) - most
    return ", ".join(names[:most]) + (f" and {more:,} more" if more > 0 else "")


def shortened(lines: Sequence[str]) -> list[str]:
    """The first lines, and how many more there are."""
    more = len(lines) - MAX_PROBLEMS
    return [*lines[:MAX_PROBLEMS], f"... and {more:,} more"] if more > 0 else [*lines]
