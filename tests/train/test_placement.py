"""Datasets on an accelerator; where there is none, `meta` stands for it, or the CPU itself."""

from typing import Any

import pytest
import torch

from labwright.args import UserError
from labwright.datasets import DatasetView, TensorDataset
from labwright.datasets.digits import build_digits
from labwright.train import Batch, Placement, build_loader, placement, to_device
from labwright.train.batch import PlacedBatch

META = torch.device("meta")


def numbers(length: int = 10) -> TensorDataset:
    return TensorDataset(torch.zeros(length, 4, dtype=torch.uint8), torch.zeros(length), source="numbers")


@pytest.fixture(autouse=True)
def _one_kilobyte_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placement, "_free_bytes", lambda device: 1000)


def test_on_the_cpu_nothing_is_moved() -> None:
    dataset, cpu = numbers(), Placement(torch.device("cpu"), True)
    assert cpu.place(dataset, "train") is dataset and cpu.names == []


def test_what_takes_a_quarter_of_the_free_memory_is_moved_once_and_stays_compact() -> None:
    dataset, auto = numbers(), Placement(META, "auto")
    moved = auto.place(dataset, "train")
    assert dataset.num_bytes == 80
    assert (moved.inputs.device, moved.inputs.dtype, moved.targets.device) == (META, torch.uint8, META)
    assert dataset.inputs.is_cpu and moved.source_indices.is_cpu
    assert auto.place(dataset, "train") is moved and auto.names == ["train"]


@pytest.mark.parametrize("on_device", ["auto", False])
def test_what_takes_more_stays_and_so_does_all_when_asked(on_device: Any) -> None:
    dataset = numbers(100 if on_device == "auto" else 1)
    chosen = Placement(META, on_device)
    assert chosen.place(dataset, "train") is dataset and chosen.names == []


def test_what_takes_more_is_moved_when_asked() -> None:
    chosen = Placement(META, True)
    assert chosen.place(numbers(100), "train").inputs.device == META


def test_data_that_cannot_be_moved_stays_or_is_refused_by_name() -> None:
    view: Any = DatasetView(numbers(), [1, 2])
    assert Placement(META, "auto").place(view, "val") is view
    with pytest.raises(UserError, match=r"on_device=true: val \(DatasetView\) is not made of tensors"):
        Placement(META, True).place(view, "val")


def test_data_that_does_not_fit_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    class Large(TensorDataset):
        def to(self, device: torch.device) -> Any:
            raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(UserError, match=r"the 0.0 GB of train do not fit on meta, which has 0.0 GB free; auto leaves"):
        Placement(META, True).place(Large(torch.zeros(1, 1), torch.zeros(1), source="large"), "train")


def test_a_subclass_that_makes_batches_its_own_way_stays_where_it_is() -> None:
    class Own(TensorDataset):
        def __getitems__(self, indices: Any) -> Any:
            assert isinstance(indices, list)
            return super().__getitems__(indices)

    own: Any = Own(torch.zeros(3, 1), torch.zeros(3), source="own")
    assert Placement(META, "auto").place(own, "train") is own
    assert [len(batch["input"]) for batch in build_loader(own, 2, shuffle=False, seed=0)] == [2, 1]


def test_batches_on_a_device_equal_those_of_the_cpu_and_say_here_which_samples_they_are() -> None:
    dataset: Any = build_digits(0.1, 0.2, 0).train["train"]
    here, there = (build_loader(dataset, 64, shuffle=True, seed=1) for _ in range(2))
    there._fetch.lies_on = torch.device("cpu")  # as if that were another one
    for epoch in (1, 2):
        here.set_epoch(epoch)
        there.set_epoch(epoch)
        there.start_at(3)
        for one, other in zip(list(here)[3:], there, strict=True):
            assert isinstance(other, PlacedBatch)
            assert other["index"] is not other.placed_index
            moved: Batch = to_device(other, torch.device("cpu"))
            assert moved["index"] is other.placed_index and moved["source"] == one["source"]
            assert all(one[key].equal(moved[key]) for key in ("input", "target", "index"))


def test_a_dataset_on_a_device_is_asked_there() -> None:
    moved = Placement(META, "auto").place(numbers(), "train")
    batches = list(build_loader(moved, 4, shuffle=True, seed=0, num_workers=2))
    assert [batch["input"].device for batch in batches] == [META] * 3
    assert sorted(torch.cat([batch["index"] for batch in batches]).tolist()) == list(range(10))
