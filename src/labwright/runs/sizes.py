"""Amounts as people say them."""

_UNITS = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))


def bytes_text(size: float) -> str:
    """`1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def seconds_text(seconds: float) -> str:
    """`2 h 10 min`: a time that lies ahead, in its two largest units; below a minute `12 s`, or `0.25 s`."""
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"
    for (unit, size), (smaller, part) in zip(_UNITS, _UNITS[1:], strict=False):
        count, rest = divmod(round(seconds / part), size // part)
        if count:
            return f"{count} {unit} {rest} {smaller}" if rest else f"{count} {unit}"
    raise AssertionError(seconds)


def count_text(number: int, noun: str) -> str:
    """`3 steps`, `1 tensor of the file`."""
    first, space, rest = noun.partition(" of ")
    return f"{number:,} {first}{'s' * (number != 1)}{space}{rest}"
