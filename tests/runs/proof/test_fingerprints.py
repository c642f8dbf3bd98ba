"""Fingerprints on disk, and where two runs part."""

import math
import resource
import signal
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.args import UserError
from labwright.runs.durable import DiskError
from labwright.runs.proof.fingerprints import (
    HEADER,
    ROW_SIZE,
    Component,
    Difference,
    Fingerprint,
    FingerprintLog,
    Fingerprints,
    encode,
    first_difference,
    loss_gap,
)

words = st.integers(0, 2**32 - 1)
singles = st.floats(width=32)
fingerprints = st.builds(Fingerprint, words, words, words, singles, singles)


def steps(number: int, *, per_epoch: int = 10) -> list[Fingerprint]:
    """A run whose every step is unlike the others."""
    return [
        Fingerprint(1 + step // per_epoch, step * 7, step * 11, 1 / (step + 1), 2.0 + step) for step in range(number)
    ]


def changed(rows: list[Fingerprint], step: int, **values: Any) -> Fingerprints:
    """The run with one step as given, and losses that are others from there on."""
    parted = [row._replace(loss=row.loss * 1.5) for row in rows[step:]]
    return Fingerprints(encode([*rows[: step - 1], rows[step - 1]._replace(**values), *parted]))


def write(path: Path, rows: list[Fingerprint]) -> None:
    log = FingerprintLog(path)
    log.append(rows)
    log.close()


def read(path: Path) -> list[Fingerprint]:
    return rows_of(Fingerprints.load(path))


def rows_of(run: Fingerprints) -> list[Fingerprint]:
    return [run[step] for step in range(1, len(run) + 1)]


def in_single_precision(rows: list[Fingerprint]) -> list[Fingerprint]:
    return rows_of(Fingerprints(encode(rows)))


@given(st.lists(fingerprints, max_size=5))
def test_rows_come_back_bit_by_bit(rows: list[Fingerprint]) -> None:
    packed = [struct.pack("<IIIff", *row) for row in rows]
    assert [struct.pack("<IIIff", *row) for row in in_single_precision(rows)] == packed


def test_the_file_says_on_its_first_line_what_its_rows_are(tmp_path: Path) -> None:
    write(tmp_path / "f", steps(2))
    line, rows = (tmp_path / "f").read_bytes().split(b"\n", 1)
    assert line.split(b": ")[1].split(b", ") == [
        b"epoch uint32", b"order uint32", b"randomness uint32", b"loss float32", b"norm float32"
    ]  # fmt: skip
    assert struct.unpack("<IIIff", rows[ROW_SIZE:]) == (1, 7, 11, 0.5, 3.0)


def test_a_loss_beyond_single_precision_is_infinite(tmp_path: Path) -> None:
    write(tmp_path / "f", [Fingerprint(1, 2, 3, 1e300, math.nan)])
    assert read(tmp_path / "f")[0].loss == math.inf


def test_a_file_that_is_not_there_has_no_steps(tmp_path: Path) -> None:
    assert len(Fingerprints.load(tmp_path / "f")) == 0


@pytest.mark.parametrize("size", [0, 10, len(HEADER)])
def test_a_writer_killed_before_the_first_step_leaves_none_and_the_next_begins_anew(size: int, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(HEADER[:size])
    assert len(Fingerprints.load(path)) == 0
    write(path, steps(3))
    assert len(read(path)) == 3


def test_a_half_written_step_is_dropped_by_readers_and_by_the_next_writer(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, steps(3))
    path.write_bytes(path.read_bytes()[:-7])
    assert len(read(path)) == 2
    write(path, steps(3)[2:])
    assert read(path) == in_single_precision(steps(3))


def test_another_file_is_neither_read_nor_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"labwright fingerprints 2: of a later version\n")
    with pytest.raises(UserError, match="no fingerprints that this labwright can read"):
        Fingerprints.load(path)
    with pytest.raises(UserError, match="no fingerprints that this labwright can read"):
        write(path, steps(1))
    assert path.read_bytes() == b"labwright fingerprints 2: of a later version\n"


def test_steps_that_a_full_disk_refuses_are_a_disk_error_and_can_be_written_later(
    tmp_path: Path,
) -> None:
    log = FingerprintLog(tmp_path / "f")
    log.append(steps(2))
    size = log.path.stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, limits[1]))
    try:
        with pytest.raises(DiskError, match="cannot be written"):
            log.append(steps(5)[2:])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert len(read(log.path)) == 2
    log.append(steps(5)[2:])
    log.close()
    assert read(log.path) == in_single_precision(steps(5))


def test_a_resumed_run_goes_on_after_the_step_of_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "f"
    write(path, [*steps(5), *steps(3)])
    log = FingerprintLog(path)
    log.cut(5)
    log.append(steps(8)[5:])
    log.close()
    assert read(path) == in_single_precision(steps(8))


def test_of_steps_whose_fingerprints_are_lost_nothing_is_known_and_nothing_differs(tmp_path: Path) -> None:
    path = tmp_path / "f"
    log = FingerprintLog(path)
    log.cut(5)
    log.append(steps(8)[5:])
    log.close()
    assert [row.epoch for row in read(path)] == [0, 0, 0, 0, 0, 1, 1, 1]
    whole, part = Fingerprints(encode(steps(8))), Fingerprints.load(path)
    assert first_difference(whole, part) is None
    assert loss_gap(whole, part) == 0


def test_a_step_that_does_not_exist_is_an_index_error() -> None:
    with pytest.raises(IndexError, match="no step 0; there are 2"):
        Fingerprints(encode(steps(2)))[0]


@pytest.mark.parametrize(
    ("values", "components"),
    [
        ({"order": 1}, ("data order",)),
        ({"epoch": 9}, ("data order",)),
        ({"randomness": 1}, ("randomness",)),
        ({"loss": 9.0}, ("weights",)),
        ({"norm": 9.0}, ("weights",)),
        ({"loss": math.nan}, ("weights",)),
        ({"norm": 9.0, "order": 1, "randomness": 1}, ("data order", "randomness", "weights")),
    ],
)
def test_the_first_difference_is_found_with_what_differs_there(
    values: dict[str, Any], components: tuple[Component, ...]
) -> None:
    a, b = Fingerprints(encode(steps(40))), changed(steps(40), 13, **values)
    assert first_difference(a, b) == Difference(step=13, epoch=2, step_of_epoch=3, components=components)


def test_norms_that_one_run_did_not_measure_make_no_difference() -> None:
    unmeasured = [row._replace(norm=math.nan) for row in steps(40)]
    assert first_difference(Fingerprints(encode(steps(40))), Fingerprints(encode(unmeasured))) is None


@given(st.lists(fingerprints.filter(lambda row: row.epoch > 0), max_size=4))
def test_a_run_does_not_differ_from_itself_whatever_its_numbers(rows: list[Fingerprint]) -> None:
    run = Fingerprints(encode(rows))
    assert first_difference(run, run) is None
    assert loss_gap(run, run) == 0


def test_randomness_that_differs_when_next_looked_at_is_a_cause_of_the_first_difference() -> None:
    looked = {1: 5, 17: 6, 33: 7}
    rows = [row._replace(randomness=looked.get(step, 0)) for step, row in enumerate(steps(40), start=1)]
    drawn = [row._replace(randomness=row.randomness and row.randomness + 10) for row in rows[19:]]
    a, b = Fingerprints(encode(rows)), Fingerprints(encode([*rows[:19], *drawn]))
    assert first_difference(a, b) == Difference(33, 4, 3, ("randomness",))
    drawn[0] = drawn[0]._replace(loss=9.0)
    b = Fingerprints(encode([*rows[:19], *drawn]))
    assert first_difference(a, b) == Difference(20, 2, 10, ("randomness", "weights"))
    other = Fingerprints(encode([*rows[:19], drawn[0], *rows[20:]]))
    assert first_difference(a, other) == Difference(20, 2, 10, ("weights",))


def test_a_nan_is_one_whatever_its_bits() -> None:
    rows = encode([Fingerprint(1, 2, 3, math.nan, 0.5)])
    other = rows.replace(struct.pack("<f", math.nan), struct.pack("<f", -math.nan))
    assert rows != other
    assert first_difference(Fingerprints(rows), Fingerprints(other)) is None


def test_where_one_run_ends_the_other_differs_by_its_length() -> None:
    a, b = Fingerprints(encode(steps(12))), Fingerprints(encode(steps(20)))
    expected = Difference(step=13, epoch=2, step_of_epoch=3, components=())
    assert first_difference(a, b) == first_difference(b, a) == expected


def test_a_difference_beyond_many_equal_steps_is_found() -> None:
    rows = steps(10_000)
    found = first_difference(Fingerprints(encode(rows)), changed(rows, 9_999, order=1))
    assert found is not None and found.step == 9_999


def test_the_gap_of_losses_is_relative_to_the_larger() -> None:
    rows = steps(20)
    assert loss_gap(Fingerprints(encode(rows)), changed(rows, 10, loss=rows[9].loss)) == pytest.approx(1 / 3)
    spoiled = changed(rows, 20, loss=math.nan)
    assert loss_gap(Fingerprints(encode(rows)), spoiled) == math.inf
