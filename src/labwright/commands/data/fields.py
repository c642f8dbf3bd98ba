"""Fields of samples as the verbs read them: one by one, checked, decoded."""

import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from labwright.shards import Opened, OpenedSplit
    from labwright.shards.codecs import Codec


def shard_name(split: "OpenedSplit", number: int) -> str:
    """The file that a record of the index names by its number."""
    from labwright.shards import ShardError

    if number >= len(split.shards):
        what = f"it names shard number {number} of {len(split.shards)}; `labwright data index` makes it anew"
        raise ShardError(f"the index of {split.name} is damaged: {what}")
    return split.shards[number].path.name


def class_names_of(dataset: "Opened", field: str) -> Sequence[str]:
    """The names of a field's classes, by number, as the metadata has them under `class_names`; empty if it has none.

    They are a list, of the fields with the codec `cls`, or a dict of such lists by field.
    """
    names = dataset.metadata.get("class_names")
    if isinstance(names, list):
        is_of_field = dataset.codecs.get(field) == "cls" or "cls" not in dataset.codecs.values()
        names = names if is_of_field else None
    elif isinstance(names, dict):
        names = names.get(field)
    return [str(name) for name in names] if isinstance(names, list) else []


def codec_of(dataset: "Opened", field: str) -> "Codec":
    """The codec of a field; bytes remain bytes where it is somebody's own, or pickle, which no command reads."""
    from labwright.shards import ShardError
    from labwright.shards.codecs import BytesCodec, codec

    try:
        return codec(dataset.codecs[field])
    except ShardError:
        return BytesCodec()


class Fields:
    """The fields of a split's samples, each checked by itself: what is whole can be read where others are damaged."""

    def __init__(self, dataset: "Opened", split: "OpenedSplit") -> None:
        from labwright.shards.files import ShardFiles

        self._dataset = dataset
        self._split = split
        self._files = ShardFiles(split, verify="off")

    def has(self, position: int, field: str) -> bool:
        """Whether the sample has the field; those of WebDataset need not have all."""
        return bool(self._split.index.records["fields"][field]["offset"][position])

    def read(self, position: int, field: str) -> bytes:
        """The bytes, as they were stored. A ShardError names the field whose checksum is another one."""
        data = self._files.read(position, field)
        crc = self._split.index.records["fields"][field]["crc"][position]
        if self._split.has_checksums and zlib.crc32(data) != crc:
            raise self._files.error("its checksum is not that of the index: it is damaged", position, field)
        return data

    def decode(self, position: int, field: str) -> Any:
        """What they hold. A ShardError names the field where that cannot be."""
        data = self.read(position, field)
        try:
            return codec_of(self._dataset, field).decode(data)
        except ValueError as error:
            raise self._files.error(str(error), position, field) from error
