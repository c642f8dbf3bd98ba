"""Freed memory is kept for as long as a block lasts, and no longer than there is room."""

import ctypes
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from labwright.train.freed_memory import FreedMemory, can_keep, kept_freed_memory
from labwright.train.system_memory import process_data

pytestmark = pytest.mark.skipif(not can_keep(), reason="memory is not glibc's")
ROOT = Path(__file__).resolve().parents[2]
NUM_PAGES = 2**14
"""So many, of 4096 bytes, glibc by itself gives back at once."""


def num_faults() -> int:
    """Pages that the system had to find while tensors were made and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for num_pages in (NUM_PAGES, 2 * NUM_PAGES):
        torch.empty(num_pages * 4096, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def is_used_again() -> bool:
    """Whether no new pages are needed, once what is kept has found its place."""
    return any(num_faults() < 1000 for _ in range(12))


def memory_is_used_again_within_and_given_back_afterwards() -> None:
    with kept_freed_memory():
        assert is_used_again()
    assert num_faults() > NUM_PAGES


def as_much_is_kept_as_there_is() -> None:
    """More than 2 GiB at the end of the memory went back each time."""
    libc, size = ctypes.CDLL(None), 3 * 2**30
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    libc.malloc.argtypes = [ctypes.c_size_t]
    with kept_freed_memory():
        libc.free(libc.malloc(size))
        data = process_data()
        assert data is not None and data > size


def block_in_a_block_leaves_the_outer_one_its_memory() -> None:
    with pytest.MonkeyPatch.context() as patch, kept_freed_memory() as outer:
        assert outer is not None
        with kept_freed_memory():
            pass
        assert is_used_again() and outer.is_kept
        with kept_freed_memory() as inner:
            assert inner is not None
            patch.setattr("labwright.train.freed_memory._SECONDS", 0.0)
            patch.setattr("labwright.train.freed_memory.free_memory", lambda: 2**20)
            assert inner.look() and not outer.is_kept
            assert num_faults() > NUM_PAGES


@pytest.mark.slow
@pytest.mark.parametrize(
    "story",
    [
        memory_is_used_again_within_and_given_back_afterwards,
        as_much_is_kept_as_there_is,
        block_in_a_block_leaves_the_outer_one_its_memory,
    ],
)
def test_in_a_process_that_was_never_refused_memory(story: Callable[[], None]) -> None:
    """Other tests ask for more than there is, after which glibc has another place for what this thread asks for."""
    script = f"from {__name__} import {story.__name__} as story; story()"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_it_begins_at_the_first_look_where_a_step_takes_a_small_share(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process of a third of the memory would become larger than there is before the second look."""
    monkeypatch.setattr("labwright.train.freed_memory.free_memory", lambda: 2**40)
    for peak, begins in ((2**36, True), (2**39, False)):
        monkeypatch.setattr("labwright.train.freed_memory.process_peak", lambda peak=peak: peak)
        with kept_freed_memory(at_once=False) as memory:
            assert memory is not None and not memory.is_kept
            assert not memory.look() and memory.is_kept is begins
            assert not memory.look() and memory.is_kept is begins


USES = """
import ctypes, os, resource
from labwright.train.freed_memory import kept_freed_memory
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_size_t], [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
def print_uses(num_pages):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(4):
        piece = libc.malloc(num_pages * 4096)
        libc.memset(piece, 1, num_pages * 4096)
        libc.free(piece)
    print(round((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) / num_pages), flush=True)
with kept_freed_memory():
    if child := os.fork():
        os.waitpid(child, 0)
    else:
        print_uses(2**14)
        os._exit(0)
    print_uses(2**14)
print_uses(2**14)
print_uses(2**11)
"""
"""How often of four times the pages of a piece are new: in a forked process, within, and afterwards."""


def test_forked_process_keeps_nothing_and_afterwards_small_pieces_are_kept_as_glibc_does() -> None:
    done = subprocess.run([sys.executable, "-c", USES], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["4", "1", "4", "1"]


def test_memory_is_given_back_once_it_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.train.freed_memory._SECONDS", 0.0)
    with kept_freed_memory() as memory:
        assert memory is not None
        assert not memory.look() and memory.is_kept
        monkeypatch.setattr("labwright.train.freed_memory.free_memory", lambda: 2**20)
        assert memory.look() and not memory.is_kept
        assert num_faults() > NUM_PAGES
        assert not memory.look()


def test_system_is_not_asked_at_every_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.train.freed_memory._SECONDS", 600.0)
    with kept_freed_memory() as memory:
        assert memory is not None
        monkeypatch.setattr("labwright.train.freed_memory.free_memory", lambda: pytest.fail("asked"))
        assert not any(memory.look() for _ in range(3))


def test_results_are_the_same_bits() -> None:
    def trained() -> torch.Tensor:
        torch.manual_seed(0)
        model = torch.nn.Linear(300, 300)
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(3):
            model(torch.rand(64, 300)).square().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
        return model.weight.detach()

    with kept_freed_memory():
        kept = trained()
    assert torch.equal(kept, trained())


def test_where_memory_is_somebody_elses_nothing_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr("labwright.train.freed_memory._glibc", lambda: None)
    with kept_freed_memory() as memory:
        assert memory is None
    assert not can_keep()
    with pytest.raises(AssertionError):
        FreedMemory()
