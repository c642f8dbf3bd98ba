"""A process alone answers every question itself."""

import pytest
import torch

from labwright.args import UserError
from labwright.train.distributed.world import ALONE, is_on_one_machine, launched_rank, launched_size, on_cpu


def test_a_process_alone_is_the_one_that_writes_and_asks_nobody() -> None:
    assert ALONE.is_main
    assert ALONE.on_main(lambda: 3) == 3
    assert ALONE.same("x") == "x"
    assert ALONE.gather(4) == [4]
    assert ALONE.sum([1.0, 2.0]) == [1.0, 2.0]


def test_the_rank_is_what_torchrun_says_where_there_are_several(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "1", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    assert (launched_rank(), launched_size()) == (1, 3)


def test_ranks_are_on_one_machine_where_torchrun_has_started_all_of_them_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert is_on_one_machine()
    for name, value in {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_WORLD_SIZE": "4"}.items():
        monkeypatch.setenv(name, value)
    assert is_on_one_machine()
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert not is_on_one_machine()


def test_a_world_size_of_another_program_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.setenv("WORLD_SIZE", "3")
    assert (launched_rank(), launched_size()) == (0, 1)


def test_a_rank_that_is_no_number_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"RANK": "one", "WORLD_SIZE": "3"}.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match="RANK must be a whole number, not 'one'"):
        launched_rank()


def test_nested_tensors_come_to_main_memory_and_all_else_stays() -> None:
    value = {"a": [torch.ones(2, requires_grad=True)], "b": ("x", 1)}
    found = on_cpu(value)
    assert found["b"] == ("x", 1)
    assert not found["a"][0].requires_grad
