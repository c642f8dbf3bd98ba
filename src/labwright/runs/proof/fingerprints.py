"""fingerprints.bin: five numbers of every optimizer step, by which two runs are compared without their tensors.

The first line of the file says what it is; a row of 20 bytes for each step follows it, little-endian.
"""

import math
import os
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, Self, cast, get_args

from labwright.args.errors import UserError

from ..durable import append_whole, disk_errors, sync_directory

FILE_NAME = "fingerprints.bin"
HEADER = b"labwright fingerprints 1: epoch uint32, order uint32, randomness uint32, loss float32, norm float32\n"
ROW_SIZE = 20
_KINDS = ("I", "I", "I", "f", "f")
LOOK_EVERY = 16
"""At step 1, 17, ...; it costs as much as all the rest of a fingerprint."""
_NUM_COLUMNS = len(_KINDS)
_CHUNK_SIZE = 4096 * ROW_SIZE

Component = Literal["data order", "randomness", "weights"]
COMPONENTS: tuple[Component, ...] = get_args(Component)
"""Causes before effects."""


class Fingerprint(NamedTuple):
    """One optimizer step."""

    epoch: int
    """0: nothing is known of this step."""
    order: int
    """CRC-32 of which samples it took, in order."""
    randomness: int
    """CRC-32 of where the random number generators stood after it; 0: nobody looked."""
    loss: float
    norm: float
    """That of the gradients, which with the loss stands for the weights; NaN: nobody measured it."""


class FingerprintLog:
    """Appends to a fingerprints file: row n is step n. The file is made by the first row.

    A step that a killed writer left half-written is dropped. Call `cut` before the first row of a resumed run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def append(self, rows: Sequence[Fingerprint]) -> None:
        """Hand these steps to the system: all of them, or with a DiskError none."""
        with disk_errors(self.path):
            append_whole(self._opened(), encode(rows))

    def sync(self) -> None:
        """Hand all steps so far to the disk."""
        if self._file is not None:
            with disk_errors(self.path):
                os.fsync(self._file.fileno())

    def cut(self, num_steps: int) -> None:
        """Go on after step `num_steps`: later ones are dropped, and of missing ones nothing is known."""
        with disk_errors(self.path):
            if num_steps == 0:  # whatever a power cut has made of it, nothing of it is wanted
                self.path.unlink(missing_ok=True)
            file = self._opened()
            file.truncate(len(HEADER) + num_steps * ROW_SIZE)  # makes it longer too, by zeros
            os.fsync(file.fileno())

    def close(self) -> None:
        """Close the file; a later `append` opens it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _opened(self) -> BinaryIO:
        if self._file is None:
            file = cast(BinaryIO, open(self.path, "a+b", buffering=0))
            try:
                self._mend(file)
            except BaseException:
                file.close()
                raise
            self._file = file
        return self._file

    def _mend(self, file: BinaryIO) -> None:
        """Make it begin with the header and end with a whole row."""
        file.seek(0)
        if not _has_header(file.read(len(HEADER)), self.path):
            file.truncate(0)
            append_whole(file, HEADER)
            sync_directory(self.path.parent)
        size = file.seek(0, os.SEEK_END)
        file.truncate(size - (size - len(HEADER)) % ROW_SIZE)


class Fingerprints:
    """The steps of a run, from 1 on."""

    def __init__(self, rows: bytes) -> None:
        self.rows = rows
        """As in the file."""

    @classmethod
    def load(cls, path: Path) -> Self:
        """Those in a file; a last one that was cut short does not count. None at all where there is no file.

        Raises:
            UserError: the file is something else.
        """
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return cls(b"")
        except OSError as error:
            raise UserError(f"{path} cannot be read: {error.strerror}") from error
        if not _has_header(content[: len(HEADER)], path):
            return cls(b"")
        num_steps = (len(content) - len(HEADER)) // ROW_SIZE
        return cls(content[len(HEADER) : len(HEADER) + num_steps * ROW_SIZE])

    def __len__(self) -> int:
        return len(self.rows) // ROW_SIZE

    def __getitem__(self, step: int) -> Fingerprint:
        if not 1 <= step <= len(self):
            raise IndexError(f"there is no step {step}; there are {len(self)}")
        (row,) = _decode(self.rows[(step - 1) * ROW_SIZE : step * ROW_SIZE])
        return row

    def column(self, name: str) -> "array[Any]":
        """One of the numbers of every step."""
        number = Fingerprint._fields.index(name)
        words = _little_endian(array("I", self.rows))[number::_NUM_COLUMNS]
        return words if _KINDS[number] == "I" else array(_KINDS[number], words.tobytes())

    def step_of_epoch(self, step: int) -> int:
        """Which step of its epoch a step is, from 1."""
        epoch = self[step].epoch
        number = 1
        while step - number >= 1 and self[step - number].epoch == epoch:
            number += 1
        return number


@dataclass(frozen=True)
class Difference:
    """The first step at which two runs differ."""

    step: int
    epoch: int
    step_of_epoch: int
    components: tuple[Component, ...]
    """What differs there, causes first; empty: one of the runs ended before it."""


def first_difference(a: Fingerprints, b: Fingerprints) -> Difference | None:
    """Where two runs part; None if they are equal. Steps that nothing is known of in one of them are passed over.

    Random numbers go their way whatever the weights are. So if they differ when next looked at, they are counted among
    what differs at the first step that does.
    """
    num_common = min(len(a), len(b))
    step = _first_unequal(a, b, num_common)
    if step is not None:
        found = _components(a[step], b[step])
        if _randomness_differs(a, b, range(step, num_common + 1)):
            found |= {"randomness"}
        components: tuple[Component, ...] = tuple(component for component in COMPONENTS if component in found)
        return Difference(step, a[step].epoch, a.step_of_epoch(step), components)
    if len(a) == len(b):
        return None
    longer, step = max(a, b, key=len), num_common + 1
    return Difference(step, longer[step].epoch, longer.step_of_epoch(step), ())


def loss_gap(a: Fingerprints, b: Fingerprints) -> float:
    """The largest relative difference of the losses of a step: 0 if all are equal, at most 2, infinity for a NaN."""
    steps = zip(a.column("epoch"), b.column("epoch"), a.column("loss"), b.column("loss"), strict=False)
    gaps = (_relative_difference(mine, theirs) for i, j, mine, theirs in steps if i and j and mine != theirs)
    return max(gaps, default=0.0)


def _has_header(start: bytes, path: Path) -> bool:
    """Whether a file that begins like this has rows; False if its writer was killed at once."""
    if start == HEADER:
        return True
    if HEADER.startswith(start):
        return False
    raise UserError(f"{path} holds no fingerprints that this labwright can read; move it away to go on without them")


def encode(rows: Sequence[Fingerprint]) -> bytes:
    """Rows as in the file; a number that single precision cannot hold is an infinity there."""
    words = array("I", bytes(len(rows) * ROW_SIZE))
    for column, (kind, values) in enumerate(zip(_KINDS, zip(*rows, strict=True), strict=False)):
        words[column::_NUM_COLUMNS] = array("I", array(kind, values).tobytes())
    return _little_endian(words).tobytes()


def _decode(rows: bytes) -> list[Fingerprint]:
    columns = map(Fingerprints(rows).column, Fingerprint._fields)
    return [Fingerprint(*row) for row in zip(*columns, strict=True)]


def _little_endian(words: "array[int]") -> "array[int]":
    if sys.byteorder == "big":
        words.byteswap()
    return words


def _first_unequal(a: Fingerprints, b: Fingerprints, num_steps: int) -> int | None:
    """The first step whose rows differ; chunks that are equal are passed over at the speed of memory."""
    for start in range(0, num_steps * ROW_SIZE, _CHUNK_SIZE):
        end = min(start + _CHUNK_SIZE, num_steps * ROW_SIZE)
        one, other = a.rows[start:end], b.rows[start:end]
        if one == other:
            continue
        for number, (mine, theirs) in enumerate(zip(_decode(one), _decode(other), strict=True)):
            if mine.epoch and theirs.epoch and _components(mine, theirs):
                return start // ROW_SIZE + number + 1
    return None


def _components(a: Fingerprint, b: Fingerprint) -> set[Component]:
    differs: dict[Component, bool] = {
        "data order": (a.epoch, a.order) != (b.epoch, b.order),
        "randomness": a.randomness != b.randomness,
        "weights": not (_is_same(a.loss, b.loss) and (_is_same(a.norm, b.norm) or _is_unmeasured(a, b))),
    }
    return {component for component, is_different in differs.items() if is_different}


def _randomness_differs(a: Fingerprints, b: Fingerprints, steps: range) -> bool:
    """Whether it does at the first of these steps at which somebody looked in both runs."""
    looked = (step for step in steps if a[step].randomness and b[step].randomness)
    return any(a[step].randomness != b[step].randomness for step in islice(looked, 1))


def _is_unmeasured(a: Fingerprint, b: Fingerprint) -> bool:
    return math.isnan(a.norm) or math.isnan(b.norm)


def _is_same(a: float, b: float) -> bool:
    return a == b or (a != a and b != b)


def _relative_difference(a: float, b: float) -> float:
    if _is_same(a, b):
        return 0.0
    gap = abs(a - b) / max(abs(a), abs(b))
    return gap if gap == gap else float("inf")
