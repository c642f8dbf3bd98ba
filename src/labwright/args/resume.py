"""What changing an argument means for a run that is resumed: it goes on, a child run begins, or it is refused.

    safe        the run continues with the new value
    child       a new run begins with the weights of the old one
    forbidden   an error

A field says it as `Field(..., json_schema_extra={"resume": "safe"})`, a whole part as the class variable `on_resume`.
The innermost word counts, and where nothing is said a change is a `child`.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast, get_args

from pydantic import BaseModel

from .base import ResumePolicy, canonical, resume_policy_of


class Change(NamedTuple):
    """An argument that is not what it was."""

    path: str
    old: Any
    new: Any
    policy: ResumePolicy

    def __str__(self) -> str:
        return f"{self.path}: {_short(self.old)} -> {_short(self.new)}"


def changes_since(recorded: Mapping[str, Any], args: BaseModel) -> list[Change]:
    """The arguments of `args` that are not as they were recorded; a field that is new since then had its default."""
    return list(_changes(recorded, args, canonical(args), "", "child"))


def _changes(
    old: Mapping[str, Any], model: BaseModel, new: Mapping[str, Any], prefix: str, inherited: ResumePolicy
) -> Iterator[Change]:
    for name, field in type(model).model_fields.items():
        if name not in new:  # excluded: it is not recorded either
            continue
        policy = policy_of(type(model), name) or _policy_within(field.annotation) or inherited
        value, path = model.__dict__[name], prefix + name
        before = old[name] if name in old else canonical(type(model).model_construct()).get(name)
        if isinstance(value, BaseModel) and isinstance(before, dict):
            part = cast(dict[str, Any], before)
            within = getattr(value, "on_resume", None) or policy
            if part.get("kind") != new[name].get("kind"):
                yield Change(f"{path}.kind", part.get("kind"), new[name].get("kind"), within)
            else:
                yield from _changes(part, value, new[name], f"{path}.", within)
        elif _text(before) != _text(new[name]):
            yield Change(path, before, new[name], policy)


def policy_of(model: type[BaseModel], name: str) -> ResumePolicy | None:
    """What the field says, else what it says in the class that it was first declared in; None: nothing.

    An experiment that gives `epochs` another default should not need to repeat what else is known of epochs.
    """
    bases = [base for base in model.__mro__ if issubclass(base, BaseModel) and name in base.model_fields]
    words = [resume_policy_of(base.model_fields[name]) for base in bases]
    return next((word for word in words if word is not None), None)


def _policy_within(annotation: Any) -> ResumePolicy | None:
    """The word of the first part, wherever in the annotation it stands: `MLPArgs | None`, `dict[str, MLPArgs]`."""
    own: ResumePolicy | None = getattr(annotation, "on_resume", None)
    inner: list[ResumePolicy | None] = [_policy_within(argument) for argument in get_args(annotation)]
    return own or next((word for word in inner if word is not None), None)


def _text(value: Any) -> str:
    """To compare by: a NaN is what it was."""
    return json.dumps(value, sort_keys=True, default=str)


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
