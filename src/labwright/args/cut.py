"""From the words on the line to flags with their true names, ready for argparse."""

from dataclasses import dataclass, field

from .annotations import holds_items, is_bool, is_sequence, union_members
from .names import BadName, Names, Target
from .wording import one_line, quoted

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
            result.problems.append(f"{one_line(flag, 200)}{separator}{error}")
            if not equals:
                _values(words, many=False)
            continue
        result.targets[target.dest] = target
        values = [value] if equals else _following(words, target)
        if target.negated:
            if values:
                result.problems.append(f"{flag}: takes no value, but was given {quoted(values[0])}")
            values = ["false"]
        elif not values and is_bool(target.annotation):
            values = ["true"]
        if not values:
            result.problems.append(f"{flag}: expects a value")
        result.words += [f"--{target.dest}={value}" for value in values]
    return result


def _following(words: list[str], target: Target) -> list[str]:
    """Take the words after a bare flag which are its values."""
    if target.negated:
        return []
    members = union_members(target.annotation)
    if bool in members:
        only_bool = all(member is bool for member in members)
        return _values(words, many=False) if words and (words[0].lower() in _BOOLEANS or not only_bool) else []
    is_list = any(is_sequence(member) for member in members) and not holds_items(target.annotation)
    return _values(words, many=is_list and target.dest != "config")  # `--config FILE` takes one file, and is repeated


def _values(words: list[str], *, many: bool) -> list[str]:
    taken: list[str] = []
    while words and (many or not taken) and _is_value(words[0]):
        taken.append(words.pop(0))
    return taken


def _is_value(word: str) -> bool:
    """Whether `word` is a value rather than a flag: negative numbers are values."""
    after = word[1:].lower()
    return not word.startswith("-") or not after or after.lstrip(".")[:1].isdigit() or after.startswith(("inf", "nan"))
