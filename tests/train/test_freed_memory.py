"""Freed memory is kept for as long as a block lasts, and no longer than there is room."""

import resource
import sys

import pytest
import torch

from labwright.train.freed_memory import FreedMemory, can_keep, kept_freed_memory

pytestmark = pytest.mark.skipif(not can_keep(), reason="memory is not glibc's")
NUM_PAGES = 2**14
"""So many, of 4096 bytes, glibc by itself gives back at once."""


def num_faults() -> int:
    """Pages that the system had to find while tensors were made and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for num_pages in (NUM_PAGES, 2 * NUM_PAGES):
        torch.empty(num_pages * 4096, dtype=torch.uint8).fill_(1)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def test_memory_is_used_again_within_and_given_back_afterwards() -> None:
    with kept_freed_memory():
        num_faults()
        assert num_faults() < 1000
    assert num_faults() > NUM_PAGES


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
