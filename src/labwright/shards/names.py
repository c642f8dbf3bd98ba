"""Names of members: `<key>.<field>`, which every tar program and WebDataset understand. No torch."""

import re

from .errors import ShardError

_BAD = r"\x00-\x1f\x7f-\x9f\\"
_KEY = re.compile(rf"(?!__)(?:(?!\.{{1,2}}/)[^/{_BAD}]+/)*[^./{_BAD}]+")
FIELD_PATTERN = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$"
"""Of a field: the dots are allowed (`left.jpg`)."""
_FIELD = re.compile(FIELD_PATTERN)
SPLIT_PATTERN = r"^[A-Za-z0-9_]+$"
MAX_FIELDS = 256


def check_key(key: str) -> None:
    """A ShardError says what is wrong with a sample's key: `cat/0001` is one, `../cat`, `a.b` and `/a` are not."""
    if not isinstance(key, str):
        raise ShardError(f"a key is a text, not {type(key).__name__} {key!r}")
    if _KEY.fullmatch(key) is None:
        raise ShardError(f"the key {key!r} {_wrong_key(key)}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise ShardError(f"the key {key!r} is no valid Unicode") from None


def _wrong_key(key: str) -> str:
    *_, last = parts = key.split("/")
    if not key:
        return "is empty"
    if re.search(f"[{_BAD}]", key):
        return "has a backslash or a control character"
    if key.startswith("__"):
        return "begins with __, which WebDataset skips"
    if any(part in ("", ".", "..") for part in parts):
        return "has an empty part, . or ..: write a relative path such as cat/0001"
    return f"has a dot in {last!r}, where the field begins; write it with another character"


def check_field(field: str) -> None:
    """A ShardError if `field` cannot be the name of a field; `jpg`, `left.jpg` and `seg-16.png` can."""
    if not isinstance(field, str):
        raise ShardError(f"the name of a field is a text, not {type(field).__name__} {field!r}")
    if len(field) > 64 or not _FIELD.fullmatch(field):
        raise ShardError(
            f"a field cannot be called {field[:80]!r}: up to 64 letters, digits, _ and -, with dots between"
        )


def check_split(split: str) -> None:
    """A ShardError if `split` cannot be the name of a split; `train` and `val_2` can."""
    if not isinstance(split, str) or not re.fullmatch(SPLIT_PATTERN, split) or not len(split) <= 64:
        raise ShardError(f"a split cannot be called {str(split)[:80]!r}: a name has up to 64 letters, digits and _")


def split_name(name: str) -> tuple[str, str]:
    """Key and field of a member: cut at the first dot of the last part; the field is empty if there is none."""
    dot = name.find(".", name.rfind("/") + 1)
    return (name, "") if dot < 0 else (name[:dot], name[dot + 1 :])
