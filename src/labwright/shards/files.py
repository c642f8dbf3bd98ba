"""The bytes of a split's samples, by position and field: one look in the index and one at each shard for a batch.

No torch.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from multiprocessing.context import get_spawning_popen
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np

from labwright.args.wording import not_one_of

from .disk import place_of
from .disk_watch import DiskWatch
from .errors import ShardError
from .mapped import Identity, MappedShard, identify
from .tar import MAX_MEMBER_BYTES

if TYPE_CHECKING:
    from .opened import OpenedSplit

Verify = Literal["open", "read", "off"]
_FIRST_BYTE = 512
"""Of a member, at the earliest: its header is before it."""
_PAGE = 4096
_MUCH = 1 << 30
"""Bytes of a batch, from which on it is asked whether that can be."""
_ANEW = "`labwright data index` makes it anew"


class Places(NamedTuple):
    """Where one field of the samples at `positions` lies."""

    positions: np.ndarray
    field: str
    shards: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    crcs: np.ndarray

    def at(self, rows: np.ndarray) -> "Places":
        """Those of some of the samples."""
        return Places(
            self.positions[rows], self.field, self.shards[rows], self.offsets[rows], self.sizes[rows], self.crcs[rows]
        )


class ShardFiles:
    """The bytes of the samples of a split.

    Shards are mapped when they are first asked for, in whichever process asks: what is forked goes on reading, what is
    pickled opens them anew. At most some hundred are open at once.

    verify      open    shards have the size they had when they were indexed, and stay the same files
                read    and each member has the checksum of the index
                off     only that every member lies in its shard
    """

    def __init__(
        self, split: "OpenedSplit", *, verify: Verify = "open", known: Mapping[int, Identity] | None = None
    ) -> None:
        self.split = split
        self.verify: Verify = verify
        if verify not in get_args(Verify):
            raise ShardError(f"verify: {not_one_of(str(verify), get_args(Verify))}")
        if verify == "read" and not split.has_checksums:
            raise ShardError(
                "verify='read' needs checksums, and these shards have none: use verify='open', or convert them with "
                "`labwright data convert`"
            )
        self._known: dict[int, Identity] = dict(known or {})
        self._mapped: dict[int, MappedShard] = {}
        self._most_mapped = most_files()
        self._watch = DiskWatch()
        if verify != "off":
            for number in range(len(split.shards)):
                self._identify(number)

    def __getstate__(self) -> dict[str, Any]:
        # A worker process that is started now reads the same files; elsewhere and later there may be copies of them.
        known = self._known if get_spawning_popen() is not None else {}
        return {"split": self.split, "verify": self.verify, "known": known}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["split"], verify=state["verify"], known=state["known"])

    @cached_property
    def _records(self) -> np.ndarray:
        # Not before it is asked for: a worker process that cannot be made says less than one that cannot read.
        return np.asarray(self.split.index.records)

    @cached_property
    def _rows(self) -> np.ndarray:
        """The same, of a dtype that is copied as it is."""
        return self._records.view(f"V{self._records.itemsize}")

    def close(self) -> None:
        """Let go of the shards; reading opens them again."""
        self._mapped.clear()

    def read(self, position: int, field: str) -> bytes:
        """What the sample at `position` has under `field`."""
        return self.read_many(np.asarray([position], np.int64), field)[0]

    def read_many(self, positions: np.ndarray, field: str, *, mapped: bool = False) -> list[bytes]:
        """What each of these samples has under `field`, read in the order in which they lie, returned as asked for.

        `mapped` copies it out of the mapped shards: quicker where little is done with it afterwards.
        """
        places = self.places(positions, field)
        found: list[bytes] = [b""] * len(positions)
        for shard, rows in self.by_shard(places):
            whole = rows is None
            offsets, sizes = (places.offsets, places.sizes) if whole else (places.offsets[rows], places.sizes[rows])
            if mapped:
                _touch(shard, offsets, sizes)
                view, ends = shard.view, offsets + sizes
                contents = [view[start:end] for start, end in zip(offsets.tolist(), ends.tolist(), strict=True)]
            else:
                contents = shard.read(offsets, sizes)
            if whole:
                found = contents
            else:
                for row, content in zip(rows.tolist(), contents, strict=True):
                    found[row] = content
        if self.verify == "read":
            self.check_crcs(places, found)
        return found

    def places(self, positions: np.ndarray, field: str) -> Places:
        """Where these samples have `field`: all of them have it, in shards that are there. A ShardError if not."""
        self.split.index.check()
        records = self._rows.take(positions).view(self._records.dtype)
        chosen = records["fields"][field]
        offsets, sizes = chosen["offset"].astype(np.int64), chosen["size"].astype(np.int64)
        places = Places(positions, field, records["shard"], offsets, sizes, chosen["crc"])
        if len(positions) and (int(offsets.min()) < _FIRST_BYTE or int(sizes.min()) < 0):  # or above 2^63
            self._refuse(places, (offsets < _FIRST_BYTE) | (sizes < 0))
        return places

    def by_shard(self, places: Places) -> Iterator[tuple[MappedShard, np.ndarray | None]]:
        """Each shard of these places, looked at and long enough for them, with the rows in it; None: all of them."""
        shards = places.shards
        if not len(shards):
            return
        self._watch.look()
        first = int(shards[0])
        if (shards == first).all():
            yield self._checked(first, places, None), None
            return
        order = np.argsort(shards, kind="stable")
        bounds = np.flatnonzero(np.diff(shards[order])) + 1
        for rows in np.split(order, bounds):
            yield self._checked(int(shards[rows[0]]), places, rows), rows

    def check_crcs(self, places: Places, contents: Sequence[Any]) -> None:
        """A ShardError for the first content whose checksum is not that of the index."""
        crcs = np.fromiter(map(zlib.crc32, contents), np.uint32, len(contents))
        wrong = np.flatnonzero(crcs != places.crcs)
        if len(wrong):
            row = int(wrong[0])
            raise self.error(
                f"its checksum is {crcs[row]:08x}, the index says {places.crcs[row]:08x}: the shard is damaged "
                "(`labwright data verify` names all that is)",
                int(places.positions[row]),
                places.field,
            )

    def marks(self, positions: np.ndarray, field: str) -> np.ndarray:
        """Size and checksum of what each of these samples has under `field`, [samples, 12] bytes."""
        chosen = self._records["fields"][field]
        marks = np.empty(len(positions), [("size", "<u8"), ("crc", "<u4")])
        marks["size"], marks["crc"] = chosen["size"][positions], chosen["crc"][positions]
        return marks.view(np.uint8).reshape(len(positions), -1)

    def error(self, what: str, position: int, field: str = "") -> ShardError:
        """A ShardError about the sample at `position` that names its shard, key and field."""
        number = int(self._records["shard"][position])
        shard = place_of(self.split.shards[number].path) if number < len(self.split.shards) else ""
        return ShardError(what, shard=shard, key=self.split.index.keys[position], field=field)

    def _checked(self, number: int, places: Places, rows: np.ndarray | None) -> MappedShard:
        shard = self._mapped.get(number) or self._map(number, places, rows)
        shard.check(identity=self.verify != "off")
        part = places if rows is None else places.at(rows)
        most = int(part.sizes.max())
        if int(part.offsets.max()) + most >= len(shard):
            inside = (part.offsets < len(shard)) & (part.sizes <= len(shard) - part.offsets)
            if not inside.all():
                self._refuse(part, ~inside)
        if most * len(part.sizes) > _MUCH:
            self._refuse_overlap(part, len(shard))
        if self._watch.is_cold:
            shard.expect(part.offsets, part.sizes)
        return shard

    def _map(self, number: int, places: Places, rows: np.ndarray | None) -> MappedShard:
        if number >= len(self.split.shards):
            self._refuse(places, places.shards >= len(self.split.shards))
        if len(self._mapped) >= self._most_mapped:
            self._mapped.pop(next(iter(self._mapped)), None)
        known = self._identify(number) if self.verify != "off" else None
        shard = self._mapped[number] = MappedShard(self.split.shards[number].path, known)
        return shard

    def _identify(self, number: int) -> Identity:
        """What the shard is known by since it was first looked at, of the size that it should have."""
        if number not in self._known:
            file = self.split.shards[number]
            found = identify(file.path)
            if found.num_bytes != file.num_bytes:
                raise ShardError(_wrong_size(found.num_bytes, file.num_bytes), shard=place_of(file.path))
            self._known[number] = found
        return self._known[number]

    def _refuse_overlap(self, places: Places, num_bytes: int) -> None:
        """Raise if members of a shard have more bytes than it has: then a small file could fill the memory."""
        rows = np.unique(places.positions, return_index=True)[1]
        if int(places.sizes[rows].sum()) > num_bytes or int(places.sizes.max()) > MAX_MEMBER_BYTES:
            row = int(places.sizes.argmax())
            what = f"the index says {places.sizes[row]:,} bytes, more than can be its own: it is damaged; {_ANEW}"
            raise self.error(what, int(places.positions[row]), places.field)

    def _refuse(self, places: Places, wrong: np.ndarray) -> None:
        """Raise what is wrong with the first of these places."""
        row = int(np.flatnonzero(wrong)[0])
        offset, size = int(places.offsets[row]), int(places.sizes[row])
        number = int(places.shards[row])
        if number >= len(self.split.shards):
            what = f"the index puts it in shard number {number} of {len(self.split.shards)}"
        elif offset == 0:
            raise self.error("the sample has no such field", int(places.positions[row]), places.field)
        elif (num_bytes := identify((file := self.split.shards[number]).path).num_bytes) < file.num_bytes:
            raise self.error(_wrong_size(num_bytes, file.num_bytes), int(places.positions[row]), places.field)
        else:
            what = f"the index puts it at {offset:,}, {size:,} bytes long, which is not in the shard"
        what += f": it is damaged; {_ANEW}"
        raise self.error(what, int(places.positions[row]), places.field)


def _wrong_size(num_bytes: int, expected: int) -> str:
    cut = "it was cut short" if num_bytes < expected else "it is not the file that was indexed"
    return f"{cut}: it has {num_bytes:,} bytes and should have {expected:,}"


def _touch(shard: MappedShard, offsets: np.ndarray, sizes: np.ndarray) -> None:
    """Look at the first pages of each member in the order in which they lie: what has to come from a disk comes in that
    order, and a processor fetches several at once, which it does not do while it copies."""
    starts = np.sort(offsets)
    reach = int(sizes.min()) - 1
    for step in range(0, min(reach, 3 * _PAGE), _PAGE):
        shard.bytes[starts + step]


def most_files() -> int:
    """How many shards may be open at once: by two descriptors each they take half of what the process may have."""
    try:
        import resource
    except ImportError:  # not on Windows
        return 64
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4096 if soft == resource.RLIM_INFINITY else max(16, min(4096, soft // 4))
