"""Write a dataset of shards, or add to one. No torch.

    with ShardWriter("flowers", ["jpg", "cls"]) as writer:
        writer.write("train", "0001", {"jpg": Path("1.jpg"), "cls": 3})

Several processes write at once with `part=0`, `part=1`, ...; then one merges what they wrote: `merge_parts("flowers")`.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from labwright.args.wording import listed, not_one_of
from labwright.runs.sizes import bytes_text, count_text, seconds_text

from .codecs import Codec
from .errors import ShardError
from .manifest import Manifest
from .names import check_key, check_split
from .publish import Staged, publish, seal_part
from .split_writer import SplitWriter
from .workplace import Workplace, open_workplace
from .writer_fields import chosen_fields, plain_metadata

if TYPE_CHECKING:
    from tqdm import tqdm

SHARD_BYTES = 256 << 20


class ShardWriter:
    """Writes samples into the shards of a dataset; used by `with`, from one process and one thread.

    When the block ends, the dataset is there, whole; readers see nothing of it before. When an exception ends it, or a
    kill, what was there before is there still: nothing, or with `append` the dataset without the new samples.

    Args:
        path: Directory of the dataset; a new or an empty one, unless `append`.
        fields: What each sample has, such as `["jpg", "cls"]`; may be left out with `append`.
        shard_bytes: A new shard begins before one would grow beyond this.
        shard_samples: A new shard begins behind this many samples.
        splits: The splits, also those that get no sample; left out: as they come.
        metadata: Kept in `dataset.json`, such as `{"class_names": [...]}`. `writer.metadata` may be filled until the
            end. With `append`, what the dataset has and this has not stays.
        codecs: How fields are encoded whose names do not say it: the name of a codec, or one of your own.
        append: Add to the dataset at `path`, if there is one.
        progress: A bar with the rate, on a terminal.
        part: Write the part of this number (from 0), for `merge_parts`.

    Raises:
        ShardError: it cannot be written so. A sample that is refused is left out whole, and writing may go on.
        DiskError: the disk is full, or failed; then nothing of it remains.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        fields: Sequence[str] | None = None,
        *,
        shard_bytes: int = SHARD_BYTES,
        shard_samples: int | None = None,
        splits: Sequence[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
        codecs: Mapping[str, Codec | str] | None = None,
        append: bool = False,
        progress: bool = True,
        part: int | None = None,
    ) -> None:
        self.path = Path(path)
        self.metadata = plain_metadata(metadata or {})
        self.num_samples = 0
        self.manifest: Manifest | None = None
        """Once the block has ended: the dataset, or the part."""
        for name, limit in {"shard_bytes": shard_bytes, "shard_samples": shard_samples}.items():
            if limit is not None and limit < 1:
                raise ShardError(f"{name} is a number above 0, not {limit!r}")
        if part is not None and not 0 <= part < 10**6:
            raise ShardError(f"part is a number from 0 to 999999, not {part!r}")
        if fields is None and not append:
            raise ShardError('say which fields the samples have, such as fields=["jpg", "cls"]')
        if isinstance(splits, str):
            raise ShardError(f'splits is a list of names: ["{splits}"], not {splits!r}')
        for split in splits or ():
            check_split(split)
        self._fields_of = partial(chosen_fields, fields, codecs or {})
        if not append:
            self._fields_of(None)
        self._shard_bytes, self._shard_samples = shard_bytes, shard_samples
        self._only_splits = splits
        self._append, self._progress, self._part = append, progress, part
        self._splits: dict[str, SplitWriter] = {}
        self._place: Workplace | None = None
        self._bar: tqdm[Any] | None = None
        self._seconds = 0.0

    def __enter__(self) -> Self:
        if self._seconds:
            raise ShardError(f"this writer of {self.path} was used before; make a new one")
        self._seconds = -time.monotonic()
        place = open_workplace(self.path, self._part, append=self._append)
        try:
            self._fields = self._fields_of(place.before)
            for split in self._only_splits or ():
                self._add_split(split, place)
        except BaseException:
            place.clear()
            raise
        self._place, self._pid, self._is_whole = place, os.getpid(), True
        if self._progress and sys.stderr.isatty():
            from tqdm import tqdm

            title = self.path.name if self._part is None else f"{self.path.name}, part {self._part}"
            self._bar = tqdm(desc=title, unit="sample", leave=False, mininterval=0.1, dynamic_ncols=True)
        return self

    def write(self, split: str, key: str, sample: Mapping[str, Any]) -> None:
        """Append a sample: a value for each field; bytes and paths of files go in as they are.

        Raises:
            ShardError: the key is taken or cannot be one, a field is missing or unknown, or a value cannot be encoded.
            DiskError: the disk is full, or failed.
        """
        place = self._usable()
        check_key(key)
        target = self._splits.get(split)
        if target is None:
            target = self._add_split(split, place)
        target.refuse(key)
        codecs = self._fields.codecs
        if not isinstance(sample, Mapping) or sample.keys() != codecs.keys():
            raise ShardError(self._mismatch(sample), key=key)
        contents: list[bytes] = []
        for field, codec in codecs.items():
            try:
                content = codec.to_bytes(sample[field])
            except ValueError as error:
                raise ShardError(str(error), key=key, field=field) from error
            if type(content) is not bytes:
                raise ShardError(f"its codec gave {type(content).__name__}, not bytes", key=key, field=field)
            contents.append(content)
        try:
            target.add(key, contents)
        except BaseException as error:
            self._is_whole = isinstance(error, ShardError)
            raise
        self.num_samples += 1
        if self._bar is not None and self._bar.update():
            self._bar.set_postfix_str(bytes_text(self.num_bytes), refresh=False)

    @property
    def num_bytes(self) -> int:
        """Of the shards that were written."""
        return sum(split.num_bytes for split in self._splits.values())

    @property
    def summary(self) -> str:
        """What was written, in one line."""
        splits = ", ".join(f"{name} {split.num_samples:,}" for name, split in self._splits.items())
        num_shards = sum(split.num_shards for split in self._splits.values())
        seconds = self._seconds if self._seconds >= 0 else self._seconds + time.monotonic()
        return (
            f"{count_text(self.num_samples, 'sample')}{f' ({splits})' if splits else ''} in "
            f"{count_text(num_shards, 'shard')}, {bytes_text(self.num_bytes)}, {seconds_text(seconds)}"
        )

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        place = self._place
        if place is None or os.getpid() != self._pid:  # a forked child that ends leaves its parent's files alone
            return
        try:
            if kind is None:
                self.manifest = self._finish(place)
        finally:
            self._place = None
            self._seconds += time.monotonic()
            if self._bar is not None:
                self._bar.close()
            for split in self._splits.values():
                split.close()
            place.leave() if self.manifest is not None else place.clear()

    def _finish(self, place: Workplace) -> Manifest:
        """Make what was written part of the dataset."""
        self._usable()
        metadata = plain_metadata(self.metadata)
        wanted = {name for name, split in self._splits.items() if split.num_samples or self._only_splits is not None}
        staged = Staged(
            folder="",
            fields=self._fields.infos,
            metadata=metadata,
            splits={name: split.finish() for name, split in self._splits.items() if name in wanted},
        )
        if self._part is not None:
            return seal_part(place.folder, staged)
        if place.before is not None:
            metadata = place.before.metadata | metadata
        return publish(self.path, place.folder, [staged], metadata=metadata)

    def _usable(self) -> Workplace:
        if self._place is None:
            raise ShardError(f"{self.path} is written within its block: with ShardWriter(...) as writer")
        if not self._is_whole:
            raise ShardError(f"{self.path} gets nothing more: an earlier write failed")
        if os.getpid() != self._pid:
            raise ShardError(f"{self.path} is written by the process that opened it; give others a part: part=1")
        return self._place

    def _add_split(self, name: str, place: Workplace) -> SplitWriter:
        if self._only_splits is not None and name not in self._only_splits:
            raise ShardError(f"there is no such split: {not_one_of(name, self._only_splits)}")
        check_split(name)
        self._splits[name] = SplitWriter(
            place.folder,
            name,
            list(self._fields.codecs),
            shard_bytes=self._shard_bytes,
            shard_samples=self._shard_samples,
            taken=set() if self._part is not None else place.keys(name),
        )
        return self._splits[name]

    def _mismatch(self, sample: object) -> str:
        """What is wrong with the fields of a sample."""
        fields = listed(self._fields.codecs)
        if not isinstance(sample, Mapping):
            return f"a sample is a dict with the fields {fields}, not {type(sample).__name__}"
        if missing := [field for field in self._fields.codecs if field not in sample]:
            return f"the sample lacks {listed(missing)}; it has {listed(map(str, sample)) or 'nothing'}"
        unknown = [str(field) for field in sample if field not in self._fields.codecs]
        return f"{listed(unknown)} is no field of this dataset; they are {fields}"
