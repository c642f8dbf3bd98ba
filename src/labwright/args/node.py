"""A field of a drafted configuration, and what can be said of it before anything is validated."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from .annotations import Shape, field_aliases, is_secret
from .sources import Source
from .wording import MASK, flag_key

if TYPE_CHECKING:
    from .draft import Draft


@dataclass(frozen=True)
class Node:
    """A field of the drafted configuration, with its true name."""

    path: str
    name: str
    field: FieldInfo
    shape: Shape
    owner: "Draft"

    @property
    def secret(self) -> bool:
        return is_secret(self.field.annotation)

    @property
    def aliases(self) -> list[str]:
        return field_aliases(self.field)

    @property
    def is_discriminator(self) -> bool:
        """Whether this field tells which variant its owner is."""
        return self.owner.discriminator == self.name

    def default(self) -> Any:
        """The value in force when nobody gives one; `PydanticUndefined` for a required field."""
        return self.owner.default_of(self.name)

    def default_text(self) -> str:
        """The default as a user would write it; secrets are masked."""
        value = self.default()
        if value is PydanticUndefined:
            return "required" if self.field.is_required() else "depends on other values"
        if value is None:
            return "none"
        if self.secret:
            return MASK
        if isinstance(value, BaseModel):
            return value.model_dump_json()
        value = getattr(value, "value", value)
        if isinstance(value, bool):
            return str(value).lower()
        if value == "":
            return '""'
        return str(sorted(value)) if isinstance(value, (set, frozenset)) else str(value)  # pyright: ignore[reportUnknownArgumentType]


def other_variant(part: Node, key: str, source: Source) -> str | None:
    """Says so when `key` is a field of a variant of `part` which was not chosen."""
    leaf = flag_key(key)
    owners = [kind for kind, model in part.shape.variants.items() if leaf in model.model_fields]
    if not part.shape.is_choice or leaf == part.shape.discriminator or not owners:
        return None
    child, chosen_by = part.owner.child(part.name), part.owner.source_of(part.name)
    chosen = f"{part.path} is {child.kind} (from {chosen_by.label})" if child else f"no {part.path} is chosen"
    how = source.how_to_choose(part.path, owners[0])
    return f"is a field of {' and '.join(owners)} only, and {chosen}; {how} to use it"
