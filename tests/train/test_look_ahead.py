"""Copies that are under way before they are needed; a device that writes down what is asked of it stands for a GPU."""

from collections.abc import Iterator
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from labwright.train import Batch
from labwright.train.look_ahead import copied_ahead

CPU = torch.device("cpu")


@pytest.fixture
def events(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the device is asked, in order."""
    seen: list[str] = []
    copies = iter(range(1, 100))
    streams = SimpleNamespace(record_event=lambda: seen.append(f"copy {next(copies)}"))
    computing = SimpleNamespace(wait_event=lambda arrival: seen.append("wait"))
    module = SimpleNamespace(
        Stream=lambda device: streams, stream=lambda stream: nullcontext(), current_stream=lambda device: computing
    )
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    monkeypatch.setattr(Tensor, "record_stream", lambda tensor, stream: seen.append("keep"), raising=False)
    return seen


def batches(number: int, error: Exception | None = None) -> Iterator[Batch]:
    for position in range(number):
        yield {"input": torch.full((1,), float(position)), "index": [position], "parts": [{"x": torch.zeros(1)}]}
    if error is not None:
        raise error


def finished(batch: Batch) -> Batch:
    return batch | {"input": batch["input"] + 1}


def test_the_next_copy_is_under_way_before_a_batch_is_worked_on(events: list[str]) -> None:
    inputs: list[Any] = []
    for batch in copied_ahead(batches(3), CPU, finished):
        events.append("compute")
        inputs.append(batch["input"].item())
    one = ["wait", "keep", "compute"]
    assert inputs == [1, 2, 3]
    assert events == ["copy 1", "copy 2", *one, "copy 3", *one, *one]


def test_what_goes_wrong_with_a_batch_is_raised_in_its_turn(events: list[str]) -> None:
    ahead = copied_ahead(batches(2, OSError("gone")), CPU, finished)
    assert [next(ahead)["index"], next(ahead)["index"]] == [[0], [1]]
    with pytest.raises(OSError, match="gone"):
        next(ahead)


def test_nothing_to_copy_is_nothing(events: list[str]) -> None:
    assert list(copied_ahead(batches(0), CPU, finished)) == [] and events == []
