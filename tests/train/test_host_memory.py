from typing import Any

import pytest
import torch

from labwright.args.errors import UserError
from labwright.train import flatten_state, restore_state
from labwright.train.checkpoint import state_file
from labwright.train.host_memory import HostMemory


def some_state() -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(7, 5, generator=generator)
    return {
        "weight": weight,
        "tied": weight,
        "row": weight[2],
        "turned": torch.randn(3, 4, 2, 2, generator=generator).to(memory_format=torch.channels_last),
        "half": torch.randn(3, generator=generator).bfloat16(),
        "complex": torch.randn(3, generator=generator, dtype=torch.complex64),
        "flags": torch.tensor([True, False, True]),
        "count": torch.tensor(3),
        "nothing": torch.empty(0, 3),
        "rate": 0.1,
        "rows": [1, 2, 3],
    }


def address(copied: Any) -> int:
    """Where the copy of a state lies."""
    return copied._content.when_complete().data_ptr()


def test_a_copy_stays_what_the_state_was() -> None:
    state = some_state()
    before, copied = flatten_state(state), state_file(state).copied_to(HostMemory())
    for value in state.values():
        if isinstance(value, torch.Tensor):
            value.zero_()
    state["rows"].append(4)
    assert b"".join(copied) == before != flatten_state(state)


def test_every_copy_takes_the_same_memory() -> None:
    memory, state = HostMemory(), some_state()
    first = state_file(state).copied_to(memory)
    assert address(first) == address(state_file(state | {"more": torch.ones(500)}).copied_to(memory))
    large = state | {"more": torch.arange(2**20)}
    assert restore_state(b"".join(state_file(large).copied_to(memory)))["more"].equal(large["more"])


def test_memory_that_was_reserved_is_taken() -> None:
    memory, file = HostMemory(), state_file(some_state())
    file.reserve_in(memory)
    before = address(file.copied_to(memory))
    file.reserve_in(memory)
    assert address(file.copied_to(memory)) == before


def test_a_copy_may_begin_while_nothing_is_recorded_for_gradients() -> None:
    memory, state = HostMemory(), {"weight": torch.nn.Parameter(torch.ones(3))}
    with torch.inference_mode():
        state_file(state).copied_to(memory)
    assert b"".join(state_file(state).copied_to(memory)) == flatten_state(state)


def test_a_state_too_large_for_a_second_copy_says_what_to_do() -> None:
    with pytest.raises(UserError, match=r"no memory for a copy of the state .*--background_checkpoints=false"):
        HostMemory().reserve(2**60)


def test_what_comes_from_a_gpu_goes_to_pinned_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, empty = list[bool](), torch.empty

    def noted(*size: int, pin_memory: bool = False, **options: Any) -> torch.Tensor:
        asked.append(pin_memory)
        return empty(*size, **options)

    monkeypatch.setattr(torch, "empty", noted)
    memory = HostMemory()
    memory.reserve(10, pinned=True)
    assert asked[-1]
