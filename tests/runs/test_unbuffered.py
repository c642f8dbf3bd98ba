"""Large files written past the system's cache."""

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.runs import unbuffered
from labwright.runs.unbuffered import write_unbuffered

BLOCK = 8192
"""Two sectors."""


@pytest.fixture
def descriptor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    monkeypatch.setattr(unbuffered, "BLOCK", BLOCK)
    opened = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    yield opened
    os.close(opened)


def content(descriptor: int) -> bytes:
    return os.pread(descriptor, 2**20, 0)


def numbers(size: int) -> bytes:
    return np.random.default_rng(size).bytes(size)


def is_direct(descriptor: int) -> bool:
    return unbuffered._is_direct(descriptor)


@given(st.lists(st.sampled_from([0, 1, 7, 4095, 4096, 4097, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5]), max_size=6))
def test_file_holds_all_pieces_whatever_their_sizes(tmp_path_factory: pytest.TempPathFactory, sizes: list[int]) -> None:
    pieces = [numbers(size) for size in sizes]
    with pytest.MonkeyPatch.context() as patch, (tmp_path_factory.mktemp("any") / "file").open("x+b") as file:
        patch.setattr(unbuffered, "BLOCK", BLOCK)
        digest = write_unbuffered(file.fileno(), iter(pieces))
        assert content(file.fileno()) == b"".join(pieces)
    assert digest == hashlib.sha256(b"".join(pieces)).hexdigest()


def test_pieces_may_be_arrays_of_any_type_and_shape(descriptor: int) -> None:
    arrays = [np.arange(6.0).reshape(2, 3), np.zeros((0, 4), np.float32), np.array(7)]
    write_unbuffered(descriptor, [array.data for array in arrays])
    assert content(descriptor) == b"".join(array.tobytes() for array in arrays)


def test_whole_blocks_and_sectors_go_past_the_cache_and_what_is_left_does_not(
    descriptor: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_direct(tmp_path)
    written: list[tuple[int, bool]] = []
    watch(monkeypatch, lambda descriptor, data: written.append((len(data), is_direct(descriptor))))
    write_unbuffered(descriptor, [numbers(2 * BLOCK + 4096 + 10)])
    assert written == [(BLOCK, True), (BLOCK, True), (4096, True), (10, False)]


def test_file_of_less_than_a_block_goes_through_the_cache(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[int, bool]] = []
    watch(monkeypatch, lambda descriptor, data: written.append((len(data), is_direct(descriptor))))
    write_unbuffered(descriptor, [numbers(5000), numbers(100)])
    assert written == [(5100, False)]


def test_file_system_that_refuses_to_pass_its_cache_by_is_written_through_it(
    descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(descriptor: int, data: memoryview) -> None:
        if is_direct(descriptor):
            raise OSError(errno.EINVAL, "no")

    watch(monkeypatch, refuse)
    write_unbuffered(descriptor, [numbers(3 * BLOCK + 1)])
    assert content(descriptor) == numbers(3 * BLOCK + 1)


def test_where_nothing_goes_past_a_cache_all_is_written(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unbuffered, "fcntl", None)
    write_unbuffered(descriptor, [numbers(3 * BLOCK + 1)])
    assert content(descriptor) == numbers(3 * BLOCK + 1)


@pytest.mark.parametrize("part", [4096, 1000])
def test_write_that_took_a_part_only_is_gone_on_with(
    descriptor: int, monkeypatch: pytest.MonkeyPatch, part: int
) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, data[:part]))
    write_unbuffered(descriptor, [numbers(3 * BLOCK + 5000)])
    assert content(descriptor) == numbers(3 * BLOCK + 5000)


def test_full_disk_is_told(descriptor: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, data: memoryview) -> None:
        raise OSError(errno.ENOSPC, "full")

    watch(monkeypatch, refuse)
    with pytest.raises(OSError, match="full"):
        write_unbuffered(descriptor, [numbers(BLOCK)])


def watch(monkeypatch: pytest.MonkeyPatch, look: Callable[[int, memoryview], None]) -> None:
    write = os.write

    def looked_at(descriptor: int, data: memoryview) -> int:
        look(descriptor, data)
        return write(descriptor, data)

    monkeypatch.setattr(os, "write", looked_at)


def require_direct(folder: Path) -> None:
    try:
        os.close(os.open(folder / "probe", os.O_RDWR | os.O_CREAT | unbuffered._O_DIRECT))
    except OSError:
        pytest.skip("this file system has nothing but its cache")
    if not unbuffered._O_DIRECT:
        pytest.skip("this system knows nothing of it")
