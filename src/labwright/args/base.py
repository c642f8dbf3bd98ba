"""`Args`: the base of everything that can be said about a run."""

import json
import types
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Union, cast, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

ResumePolicy = Literal["safe", "child", "forbidden"]
RESUME_POLICIES: tuple[str, ...] = get_args(ResumePolicy)


class Args(BaseModel):
    """A typed, immutable description: of a part, of an experiment, of a machine, of an invocation.

    Unknown fields are errors, defaults are validated, and a union of `Args` classes is told apart by the field `kind`
    of its members, so one typo gives one error.
    """

    model_config = ConfigDict(
        extra="forbid",
        validate_default=True,
        frozen=True,
        protected_namespaces=(),
        defer_build=True,  # a validator is built on first use: `--help` needs none of them
    )
    on_resume: ClassVar[ResumePolicy | None] = None
    """What changing these args means for a run that is resumed, see `labwright.args.resume`; None: as around them."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for name, field in cls.model_fields.items():
            field.annotation = _discriminate(field.annotation, where=f"{cls.__name__}.{name}")
            _check_policy(resume_policy_of(field), f"{cls.__name__}.{name}")
        _check_policy(cls.on_resume, f"{cls.__name__}.on_resume")

    def canonical_json(self) -> str:
        """The one JSON text of this configuration: keys and sets sorted, no spaces."""
        return json.dumps(canonical(self), sort_keys=True, separators=(",", ":"))

    def identity(self) -> str:
        """SHA-256 (hex) of the canonical JSON: equal configurations have equal identities, in every process."""
        import hashlib

        return hashlib.sha256(self.canonical_json().encode()).hexdigest()


def canonical(model: BaseModel) -> dict[str, Any]:
    """`model` as JSON-like data which can be given back: its fields, secrets masked, sets sorted."""
    return _canonical(model, model.model_dump(mode="json", include=set(type(model).model_fields)))


def _canonical(value: Any, dumped: Any) -> Any:
    """`dumped`, the JSON form of `value`, in an order that does not depend on the process, without computed fields."""
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        fields = type(value).model_fields
        return {name: _canonical(value.__dict__[name], dumped[name]) for name in fields if name in dumped}
    if isinstance(value, (set, frozenset)) and isinstance(dumped, list):
        parts: list[Any] = [_canonical(item, part) for item, part in zip(value, dumped, strict=True)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return sorted(parts, key=lambda part: json.dumps(part, sort_keys=True))
    if isinstance(value, Mapping) and isinstance(dumped, dict) and len(value) == len(dumped):  # pyright: ignore[reportUnknownArgumentType]
        return {key: _canonical(item, part) for (key, part), item in zip(dumped.items(), value.values(), strict=True)}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (list, tuple)) and isinstance(dumped, list):
        return [_canonical(item, part) for item, part in zip(value, dumped, strict=True)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return dumped  # pyright: ignore[reportUnknownVariableType]


def resume_policy_of(field: FieldInfo) -> Any:
    """What the field says of a resumed run that it changes in; None where it says nothing."""
    extra = field.json_schema_extra
    return cast(dict[str, Any], extra).get("resume") if isinstance(extra, dict) else None


def _check_policy(word: Any, where: str) -> None:
    """Raise a TypeError for a word that says nothing about a resumed run."""
    if word is not None and word not in RESUME_POLICIES:
        raise TypeError(f"{where}: {word!r} is none of {', '.join(RESUME_POLICIES)}")


def is_args_class(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, Args)


def _discriminate(annotation: Any, *, where: str) -> Any:
    """`annotation` with each union of Args classes told apart by `kind`, at any depth."""
    origin = get_origin(annotation)
    if origin is None or origin is Literal:
        return annotation
    members = get_args(annotation)
    if origin is Annotated:
        if any(isinstance(layer, FieldInfo) and layer.discriminator for layer in members[1:]):
            return annotation
        return Annotated[(_discriminate(members[0], where=where), *members[1:])]
    if origin is not Union and origin is not types.UnionType:
        rewritten = tuple(_discriminate(member, where=where) for member in members)
        return annotation if rewritten == members else origin[rewritten]
    variants = [member for member in members if is_args_class(member)]
    if len(variants) < 2:
        return annotation
    _check_kinds(variants, where)
    others = [member for member in members if not is_args_class(member)]
    union: Any = Annotated[_either(variants), Field(discriminator="kind")]
    return _either([union, *others])


def _either(members: list[Any]) -> Any:
    return Union[tuple(members)]  # noqa: UP007  (the members are not known before the program runs)


def _check_kinds(variants: list[type[Args]], where: str) -> None:
    """Raise a TypeError unless each variant has a `kind: Literal[...]` of its own."""
    owners: dict[Any, type[Args]] = {}
    for variant in variants:
        field = variant.model_fields.get("kind")
        if field is None or get_origin(field.annotation) is not Literal:
            raise TypeError(
                f"{where}: {variant.__name__} is one of several choices and needs a field "
                '`kind: Literal["..."] = "..."`'
            )
        for kind in get_args(field.annotation):
            if kind in owners:
                raise TypeError(f"{where}: {owners[kind].__name__} and {variant.__name__} have the same kind {kind!r}")
            owners[kind] = variant
