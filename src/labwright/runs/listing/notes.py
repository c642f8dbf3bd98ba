"""notes.json: what a person adds to a run afterwards: tags, a note, and whether it is out of sight."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any, Self, cast

from labwright.args.errors import UserError
from labwright.args.wording import quoted

from ..directory import RunDirectory
from ..durable import strict_json, write_durably

FILE_NAME = "notes.json"


@dataclass(frozen=True)
class Notes:
    """What was said of a run since it started."""

    tags: tuple[str, ...] = ()
    removed_tags: tuple[str, ...] = ()
    """Tags given at its start that no longer count."""
    note: str | None = None
    archived: bool = False

    def all_tags(self, at_start: Iterable[str]) -> list[str]:
        """The tags that count: those given at the start, less the removed ones, and those added since."""
        return [tag for tag in dict.fromkeys((*at_start, *self.tags)) if tag not in self.removed_tags]

    def with_tags(self, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Self:
        """The same with tags added and others removed."""
        added, removed = dict.fromkeys(map(checked_tag, add)), dict.fromkeys(remove)
        kept = [tag for tag in dict.fromkeys((*self.tags, *added)) if tag not in removed]
        hidden = [tag for tag in dict.fromkeys((*self.removed_tags, *removed)) if tag not in added]
        return replace(self, tags=tuple(kept), removed_tags=tuple(hidden))


def read_notes(run: RunDirectory) -> Notes:
    """The notes on `run`; none if nobody wrote any.

    Raises:
        UserError: the file is damaged.
    """
    path = run.path / FILE_NAME
    try:
        content: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return Notes()
    except (ValueError, RecursionError):
        raise UserError(f"{path} is damaged: it is not JSON; repair it, or remove it to do without") from None
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path} is damaged: it is not a JSON object; repair it, or remove it to do without")
    fields = cast(dict[str, Any], content)
    note = fields.get("note")
    return Notes(
        tags=_texts(fields.get("tags")),
        removed_tags=_texts(fields.get("removed_tags")),
        note=note if isinstance(note, str) else None,
        archived=fields.get("archived") is True,
    )


def write_notes(run: RunDirectory, notes: Notes) -> None:
    """Replace the notes on `run`; empty ones leave no file."""
    path = run.path / FILE_NAME
    if notes == Notes():
        path.unlink(missing_ok=True)
    else:
        write_durably(path, strict_json(asdict(notes), indent=2) + b"\n")


def checked_tag(tag: str) -> str:
    """`tag` as it is; UserError unless it is a short word that a list can show."""
    if not tag or not tag.isprintable() or tag != tag.strip() or "," in tag or len(tag) > 100:
        raise UserError(f"{quoted(tag)} is no tag: a tag is a printable word without commas")
    return tag


def _texts(value: object) -> tuple[str, ...]:
    return tuple(item for item in cast(list[object], value) if isinstance(item, str)) if isinstance(value, list) else ()
