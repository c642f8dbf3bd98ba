"""Amounts as people say them."""


def bytes_text(size: float) -> str:
    """`1.2 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.3g} TB"


def seconds_text(seconds: float) -> str:
    """`2 h 10 min`: the two largest units of a time that lies ahead; below a minute `12 s`, or `0.25 s`."""
    if seconds < 59.5:
        return f"{seconds:.2g} s" if seconds < 9.5 else f"{seconds:.0f} s"
    units = (("d", 86400), ("h", 3600), ("min", 60), ("s", 1))
    at = next(index for index, (_, size) in enumerate(units) if seconds >= size) if seconds >= 60 else 2
    (large, size), (small, part) = units[at], units[min(at + 1, len(units) - 1)]
    count, rest = divmod(round(seconds / part), size // part)
    return f"{count} {large} {rest} {small}" if rest else f"{count} {large}"
