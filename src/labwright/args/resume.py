"""What changing an argument means for a run that is resumed: it goes on, a child run begins, or it is refused."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, cast, get_args

from pydantic import BaseModel

from .base import canonical

ResumePolicy = Literal["safe", "child", "forbidden"]
"""`safe`: the run continues with the new value. `child`: a new run begins from its weights. `forbidden`: an error.

A field says it as `Field(..., json_schema_extra={"resume": "safe"})`, a whole part as the class variable `on_resume`;
the innermost word counts, and where nothing is said a change is a `child`.
"""
POLICIES: tuple[ResumePolicy, ...] = get_args(ResumePolicy)


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
    for name in type(model).model_fields:
        policy = policy_of(type(model), name) or inherited
        value, path = model.__dict__[name], prefix + name
        before = old[name] if name in old else canonical(type(model).model_construct()).get(name)
        if isinstance(value, BaseModel) and isinstance(before, dict):
            part = cast(dict[str, Any], before)
            within = getattr(value, "on_resume", None) or policy
            if part.get("kind") != new[name].get("kind"):
                yield Change(f"{path}.kind", part.get("kind"), new[name].get("kind"), within)
            else:
                yield from _changes(part, value, new[name], f"{path}.", within)
        elif before != new[name]:
            yield Change(path, before, new[name], policy)


def policy_of(model: type[BaseModel], name: str) -> ResumePolicy | None:
    """What the field says, else what it says in the class that it was first declared in; None: nothing.

    An experiment that gives `epochs` another default should not need to repeat what else is known of epochs.
    """
    bases = [base for base in model.__mro__ if issubclass(base, BaseModel) and name in base.model_fields]
    extras = [base.model_fields[name].json_schema_extra for base in bases]
    words = [cast(dict[str, Any], extra).get("resume") for extra in extras if isinstance(extra, dict)]
    return next((word for word in words if word is not None), None)


def _short(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
