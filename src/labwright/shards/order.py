"""A shuffled order of any length that is never written down: each position of it is computed. No torch."""

import hashlib
import math

import numpy as np

_ROUNDS, _ROUNDS_OF_FEW, _FEW = 6, 24, 1 << 12
"""Rounds of a network; of one with fewer places, each of whose hashes has less to choose from, more."""
_MOST_TRIED = 64
"""Numbers of columns, from the root of the length on and up to a quarter above it: the table of the fewest spare places
is taken, since what falls on one has to go in again; of equals that with the fewest columns."""
_CHUNK = 1 << 13
"""Positions computed at once: they and what is between stay in a processor's cache."""
_MIX = np.uint64(0xBF58476D1CE4E5B9)
_HALF = np.uint64(32)


class Permutation:
    """A shuffled order of `length` samples that follows from `seed` and `epoch` alone, on every machine.

    `positions(start, stop)` is a part of the order, int64, in no more memory than that part needs.

    It is a Feistel network. A number below `rows * columns`, which is `length` or a little more, is a row and a column;
    each round moves one of the two, round the end, by a hash of the other:

        hash = (other * multiplier + addend) mod 2^64;  hash = (hash xor hash >> 32) * 0xBF58476D1CE4E5B9 mod 2^64
        moved = (one + ((hash >> 32) * size of one >> 32)) mod size of one

    The column moves in the first round, then the row, and so on for 6 rounds, or 24 below a length of 4096. Multiplier
    (made odd) and addend of each round are 64-bit little-endian numbers in SHAKE-256 of "labwright permutation <seed>
    <epoch>". What comes out at `length` or above goes in again until it is below (cycle walking): the whole is one to
    one.
    """

    def __init__(self, length: int, seed: int, epoch: int) -> None:
        if not 0 <= length < 2**62:
            raise ValueError(f"an order has from 0 to 2^62 - 1 positions, not {length}")
        self.length = length
        self.seed = seed
        self.epoch = epoch
        root = math.isqrt(max(0, length - 1)) + 1
        self._columns = min(range(root, root + min(_MOST_TRIED, root // 4 + 1)), key=lambda columns: -length % columns)
        self._rows = max(1, -(-length // self._columns))
        num_rounds = _ROUNDS_OF_FEW if length < _FEW else _ROUNDS
        stream = hashlib.shake_256(f"labwright permutation {seed} {epoch}".encode()).digest(16 * num_rounds)
        keys = np.frombuffer(stream, "<u8").astype(np.uint64).reshape(num_rounds, 2)
        self._keys = [(multiplier | np.uint64(1), addend) for multiplier, addend in keys]

    def __len__(self) -> int:
        return self.length

    def positions(self, start: int, stop: int) -> np.ndarray:
        """The samples at the places `start` to `stop` - 1 of the order, int64."""
        if not 0 <= start <= stop <= self.length:
            raise IndexError(f"places {start} to {stop} of an order of {self.length}")
        found = np.empty(stop - start, np.uint64)
        for first in range(start, stop, _CHUNK):
            end = min(stop, first + _CHUNK)
            found[first - start : end - start] = self._walked(np.arange(first, end, dtype=np.uint64))
        return found.view(np.int64)

    def _walked(self, places: np.ndarray) -> np.ndarray:
        """Those of all `places`, by as many passes as each needs to come out below the length."""
        found = self._permuted(places)
        outside = np.flatnonzero(found >= self.length)
        while len(outside):
            found[outside] = again = self._permuted(found[outside])
            outside = outside[again >= self.length]
        return found

    def _permuted(self, places: np.ndarray) -> np.ndarray:
        """One pass through the network of all numbers below `rows * columns`."""
        num_columns, num_rows = np.uint64(self._columns), np.uint64(self._rows)
        row = places // num_columns
        column = places - row * num_columns
        mixed, spare = np.empty_like(places), np.empty_like(places)
        for number, (multiplier, addend) in enumerate(self._keys):
            moved, other, size = (row, column, num_rows) if number % 2 else (column, row, num_columns)
            np.multiply(other, multiplier, out=mixed)
            mixed += addend
            np.right_shift(mixed, _HALF, out=spare)
            mixed ^= spare
            mixed *= _MIX
            mixed >>= _HALF
            mixed *= size
            mixed >>= _HALF
            moved += mixed
            np.subtract(moved, size, out=mixed)  # below zero it wraps, to more than what is moved
            np.minimum(moved, mixed, out=moved)
        row *= num_columns
        row += column
        return row
