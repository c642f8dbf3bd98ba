"""Keeps secrets out of files: by the name of the field that holds them, and by what they are."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, cast

from labwright.args.wording import MASK, flag_key

# A name is cut into words (`wandb_api_key`, `apiKey`), so that `tokenizer` and `keypoints` are not secrets.
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_SECRET_WORD = re.compile(r".*(key|token|secret|passwd|password|passphrase|credential)s?", re.IGNORECASE)
_SECRET_NUMBER_WORD = re.compile(r".*(secret|passwd|password|passphrase)s?", re.IGNORECASE)
_SHORTEST_SECRET = 4  # masking every "1" because some variable says KEY=1 would make records unreadable


def redact(value: Any, secrets: Iterable[str] = ()) -> Any:
    """A copy of JSON-like `value` without secrets.

    Masked are the values of fields named like a key, token, secret or password, and each occurrence of a string from
    `secrets`, in keys too. A number is masked only in a field named like a password or secret: `token_accuracy` is a
    metric.
    """
    known = _longest_first(secrets)
    return _redact(value, known)


def redact_text(text: str, secrets: Iterable[str]) -> str:
    """`text` with each occurrence of a secret masked."""
    return _mask(text, _longest_first(secrets))


def redact_argv(argv: Sequence[str], secrets: Iterable[str] = (), *, flags: Collection[str] = ()) -> list[str]:
    """Command line arguments without secrets: `--api_key=abc` and `--api_key abc` lose theirs, whatever it is.

    So do the flags called `flags` (without dashes; `-` and `_` are the same), whatever their names suggest.
    """
    known = _longest_first(secrets)
    secret_keys = {flag_key(flag) for flag in flags}
    masked: list[str] = []
    value_is_secret = False
    for word in argv:
        is_flag = word.startswith("--")
        name, equals, _ = word.partition("=")
        names_secret = is_flag and (_is_secret_name(name) or flag_key(name[2:]) in secret_keys)
        if value_is_secret and not is_flag:
            masked.append(MASK)
        elif names_secret and equals:
            masked.append(f"{name}={MASK}")
        else:
            masked.append(_mask(word, known))
        value_is_secret = names_secret and not equals
    return masked


def _redact(value: Any, secrets: Sequence[str]) -> Any:
    if isinstance(value, str):
        return _mask(value, secrets)
    if isinstance(value, Mapping):
        fields = cast(Mapping[Any, Any], value)
        return {_redact(name, secrets): _redact_field(name, item, secrets) for name, item in fields.items()}
    if isinstance(value, list | tuple):
        return [_redact(item, secrets) for item in cast(Sequence[Any], value)]
    return value


def _redact_field(name: Any, value: Any, secrets: Sequence[str]) -> Any:
    if value is None or isinstance(value, bool) or value == "" or not isinstance(name, str):
        return _redact(value, secrets)
    if isinstance(value, int | float):
        return MASK if _is_secret_name(name, _SECRET_NUMBER_WORD) else value
    return MASK if _is_secret_name(name) else _redact(value, secrets)


def _is_secret_name(name: str, secret_word: re.Pattern[str] = _SECRET_WORD) -> bool:
    return any(secret_word.fullmatch(word) for word in _WORD.findall(name))


def _mask(text: str, secrets: Sequence[str]) -> str:
    for secret in secrets:
        text = text.replace(secret, MASK)
    return text


def _longest_first(secrets: Iterable[str]) -> list[str]:
    """So that a secret that contains another one is masked whole."""
    return sorted({secret for secret in secrets if len(secret) >= _SHORTEST_SECRET}, key=len, reverse=True)
