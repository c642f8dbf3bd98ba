"""Names of many files in one text: `train-{000000..000099}.tar`. No torch."""

import re

from labwright.args.wording import one_line

from .errors import ShardError

MAX_NAMES = 1_000_000
_MAX_CHARACTERS = 1 << 28
"""Of all names together."""
_BRACES = re.compile(r"\{([^{}]*)\}")
_RANGE = re.compile(r"(\d{1,18})\.\.(\d{1,18})")


def expand(pattern: str) -> list[str]:
    """The names a pattern stands for: `{000..012}` counts, `{train,val}` lists; without braces the text itself.

    Raises:
        ShardError: braces that mean neither, or more names than a dataset can have files.
    """
    names = [""]
    end = 0
    for braces in _BRACES.finditer(pattern):
        choices = _choices(braces[1], pattern)
        if len(names) * len(choices) > MAX_NAMES:
            raise ShardError(f"{one_line(pattern, 200)!r} stands for more than {MAX_NAMES:,} names")
        before = pattern[end : braces.start()]
        longest = max(map(len, names)) + len(before) + max(map(len, choices)) + len(pattern) - braces.end()
        if len(names) * len(choices) * longest > _MAX_CHARACTERS:
            raise ShardError(f"{one_line(pattern, 200)!r} stands for names that are too long")
        names = [f"{name}{before}{choice}" for name in names for choice in choices]
        end = braces.end()
    return [name + pattern[end:] for name in names]


def _choices(text: str, pattern: str) -> list[str]:
    if limits := _RANGE.fullmatch(text):
        first, last = int(limits[1]), int(limits[2])
        if first <= last and last - first < MAX_NAMES:
            return [f"{number:0{len(limits[1])}d}" for number in range(first, last + 1)]
    elif "," in text:
        return text.split(",")
    pattern, text = one_line(pattern, 200), one_line(text)
    raise ShardError(f"{pattern!r}: {{{text}}} is neither a range such as {{000..012}} nor a list such as {{a,b}}")
