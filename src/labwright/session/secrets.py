"""The secret strings of a run, which none of its files may hold."""

import os
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretBytes, SecretStr

_VARIABLES = ("WANDB_API_KEY",)


def secrets_of(*models: BaseModel) -> tuple[str, ...]:
    """Every non-empty secret inside the models, and the keys the trackers read from the environment."""
    found = {text for model in models for text in _inside(model) if text}
    found |= {os.environ[name] for name in _VARIABLES if os.environ.get(name)}
    return tuple(sorted(found))


def _inside(value: Any) -> Iterator[str]:
    if isinstance(value, SecretStr):
        yield value.get_secret_value()
    elif isinstance(value, SecretBytes):
        yield value.get_secret_value().decode(errors="replace")
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            yield from _inside(getattr(value, name))
    elif isinstance(value, dict):
        for part in value.values():
            yield from _inside(part)
    elif isinstance(value, (list, tuple, set, frozenset)):
        for part in value:
            yield from _inside(part)
