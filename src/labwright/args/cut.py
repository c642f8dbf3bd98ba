"""From the words on the line to flags with their true names, ready for argparse."""

from dataclasses import dataclass, field

from .annotations import is_bool, is_mapping, is_sequence, union_members
from .names import BadName, Names, Target

_BOOLEANS = {"true", "false", "1", "0", "yes", "no", "on", "off", "none", "null"}


@dataclass
class Cut:
    """The line with every known flag written as `--true.name=value`; the rest is left as it was typed."""

    words: list[str] = field(default_factory=list)
    targets: dict[str, Target] = field(default_factory=dict)
    """True name -> what it means, for the flags on the line."""
    problems: list[str] = field(default_factory=list)


def cut(argv: list[str], names: Names, *, also: frozenset[str] = frozenset()) -> Cut:
    """Write the flags of `argv` under their true names; `also` lists the option strings argparse knows by itself."""
    result = Cut()
    words = list(argv)
    while words:
        word = words.pop(0)
        if word == "--":
            result.words += [word, *words]
            break
        flag, equals, value = word.partition("=")
        if not word.startswith("--") or flag in also:
            result.words.append(word)
            continue
        try:
            target = names.resolve(flag[2:])
        except BadName as error:
            separator = " " if str(error).startswith("is ") else ": "
            result.problems.append(f"{flag}{separator}{error}")
            _values(words, many=False)
            continue
        result.targets[target.dest] = target
        values = [value] if equals else _following(words, target)
        if target.negated:
            if values:
                result.problems.append(f"{flag}: takes no value, but was given {values[0]!r}")
            values = ["false"]
        if values or is_bool(target.node.field.annotation):
            result.words += [f"--{target.dest}={value}" for value in values] or [f"--{target.dest}"]
        else:
            result.problems.append(f"{flag}: expects a value")
    return result


def _following(words: list[str], target: Target) -> list[str]:
    """Take the words after a bare flag which are its values."""
    if target.negated:
        return []
    members = union_members(target.node.field.annotation)
    if bool in members:
        only_bool = all(member is bool for member in members)
        return _values(words, many=False) if words and (words[0].lower() in _BOOLEANS or not only_bool) else []
    many = target.item is None and any(is_sequence(member) for member in members)
    if target.item is None and any(is_mapping(member) for member in members):
        many = False
    return _values(words, many=many)


def _values(words: list[str], *, many: bool) -> list[str]:
    taken: list[str] = []
    while words and (many or not taken) and _is_value(words[0]):
        taken.append(words.pop(0))
    return taken


def _is_value(word: str) -> bool:
    """Whether `word` is a value rather than a flag: negative numbers are values."""
    if not word.startswith("-") or word == "-":
        return True
    try:
        float(word)
    except ValueError:
        return False
    return True
