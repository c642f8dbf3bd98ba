"""`dataset.json`: what a directory of shards holds, as a Pydantic model. No torch."""

import json
import os
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator
from pydantic_core import PydanticSerializationError

from labwright.args.wording import one_line
from labwright.runs.durable import write_durably

from .disk import read_bounded
from .errors import ShardError
from .names import FIELD_PATTERN, MAX_FIELDS, SPLIT_PATTERN

MANIFEST = "dataset.json"
FORMAT_VERSION = 1
_MAX_BYTES = 64 << 20
"""Of the file: a hundred thousand shards need some 17 MB."""
MAX_SHARDS = 200_000
"""Of one split, as a writer writes it."""

FILE_PATTERN = r"^[A-Za-z0-9_][A-Za-z0-9_.-]{0,199}$"
FileName = Annotated[str, StringConstraints(pattern=FILE_PATTERN)]
"""Of a file beside the manifest: it never leaves the directory."""
FieldName = Annotated[str, StringConstraints(pattern=FIELD_PATTERN, max_length=64)]
SplitName = Annotated[str, StringConstraints(pattern=SPLIT_PATTERN, max_length=64)]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=2**63)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class FileInfo(_Part):
    """A file beside the manifest."""

    name: FileName
    num_bytes: Count
    sha256: Sha256


class ShardInfo(FileInfo):
    """A tar file: samples in the order of the index."""

    num_samples: Count


class FieldInfo(_Part):
    """What the members `<key>.<field>` hold."""

    codec: str = Field(min_length=1, max_length=64)
    """Name of the codec they are written with: `cls`, `jpg`, `npy`."""


class SplitInfo(_Part):
    """One split: its shards, and where in them its samples lie."""

    num_samples: Count
    shards: tuple[ShardInfo, ...]
    index: FileInfo
    """A structured array, one record a sample; see `Index`."""
    keys: FileInfo
    """The keys, UTF-8, a newline behind each."""

    @model_validator(mode="after")
    def _adds_up(self) -> Self:
        counted = sum(shard.num_samples for shard in self.shards)
        if counted != self.num_samples:
            raise ValueError(f"its shards have {counted:,} samples together, not {self.num_samples:,}")
        if len({shard.name for shard in self.shards}) < len(self.shards):
            raise ValueError("it names a shard twice")
        return self


class Manifest(_Part):
    """All that is known of a dataset besides its samples."""

    format: Literal["labwright-shards"] = "labwright-shards"
    version: Literal[1] = FORMAT_VERSION
    fields: dict[FieldName, FieldInfo] = Field(min_length=1, max_length=MAX_FIELDS)
    splits: dict[SplitName, SplitInfo]
    metadata: dict[str, Any] = {}
    """The user's own: `class_names`, a licence, how it was made."""

    @model_validator(mode="after")
    def _fields_differ(self) -> Self:
        if len({field.lower() for field in self.fields}) < len(self.fields):
            raise ValueError("two fields differ in their case only, which WebDataset does not see")
        return self


def read_manifest(directory: Path) -> Manifest:
    """The manifest in `directory`; a ShardError if it is missing, damaged, or of a later version."""
    return parse_manifest(manifest_bytes(directory), directory / MANIFEST)


def manifest_bytes(directory: Path) -> bytes:
    """What is in the manifest's file; a ShardError if it cannot be read, or has more bytes than any manifest."""
    if not os.path.lexists(directory / MANIFEST):
        raise ShardError(f"{directory} is no dataset of shards: it has no {MANIFEST}")
    return read_bounded(directory / MANIFEST, str(directory / MANIFEST), _MAX_BYTES)


def parse_manifest(text: bytes, path: Path) -> Manifest:
    """The manifest that `text`, the content of `path`, describes."""
    try:
        raw = json.loads(text)
        version = raw.get("version") if isinstance(raw, dict) else None
        if isinstance(version, int) and version > FORMAT_VERSION:
            raise ShardError(
                f"{path} has version {one_line(str(version))}; this labwright reads up to {FORMAT_VERSION}: upgrade it"
            )
        return Manifest.model_validate(raw)
    except ShardError:
        raise
    except ValidationError as error:
        first = error.errors()[0]
        place = one_line(".".join(map(str, first["loc"])), 200)
        raise ShardError(f"{path} is damaged at {place or 'its top'}: {first['msg']}") from None
    except (ValueError, RecursionError) as error:
        raise ShardError(f"{path} is damaged: {error}") from None


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step: a kill leaves the old dataset or the new one."""
    write_durably(directory / MANIFEST, manifest_text(manifest))


def manifest_text(manifest: Manifest) -> bytes:
    """The manifest as it is stored; a ShardError if that cannot be read again."""
    try:
        text = (manifest.model_dump_json(indent=1) + "\n").encode()
    except PydanticSerializationError as error:
        raise ShardError(f"the metadata cannot be written as JSON: {error}") from None
    if len(text) > _MAX_BYTES:
        num_shards = sum(len(split.shards) for split in manifest.splits.values())
        raise ShardError(
            f"{MANIFEST} would have {len(text) >> 20} MiB, with {num_shards:,} shards, and is read up to "
            f"{_MAX_BYTES >> 20} MiB: write fewer, larger shards, or less metadata"
        )
    return text
