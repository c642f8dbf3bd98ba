from typing import Any

import numpy as np
import pytest
import torch

from labwright.args.errors import UserError
from labwright.shards import Permutation
from labwright.train import Batch, Loader, build_loader
from labwright.train.order import Drawn

LENGTH, BATCH_SIZE = 103, 8


class Numbers:
    """Whole batches of the first numbers, which shuffle themselves."""

    draws_random_numbers = False

    def __init__(self, length: int = LENGTH, fingerprint: str = "a" * 64) -> None:
        self.length = length
        self.fingerprint = fingerprint

    def __len__(self) -> int:
        return self.length

    def __getitems__(self, positions: list[int]) -> Batch:
        return {"input": torch.tensor(positions)}

    def permutation(self, seed: int, epoch: int) -> Permutation:
        return Permutation(self.length, seed, epoch)


class Plain:
    """Samples one by one, of a dataset that says nothing of itself."""

    def __init__(self, length: int = LENGTH) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> dict[str, Any]:
        return {"input": position}


def loader_of(dataset: Any = None, *, batch_size: int = BATCH_SIZE, seed: int = 5, **options: Any) -> Loader:
    return build_loader(Numbers() if dataset is None else dataset, batch_size, shuffle=True, seed=seed, **options)


def ids(batches: Any) -> list[int]:
    return [int(position) for batch in batches for position in batch["index"]]


def all_of(num_epochs: int, dataset: Any = None) -> list[int]:
    loader = loader_of(dataset)
    found: list[int] = []
    for epoch in range(1, num_epochs + 1):
        loader.set_epoch(epoch)
        found += ids(loader)
    return found


def taken_up(state: Any, num_epochs: int, loader: Loader) -> list[int]:
    loader.load_state_dict(state)
    found: list[int] = []
    for epoch in range(loader.epoch, num_epochs + 1):
        loader.set_epoch(epoch)
        found += ids(loader)
    return found


def test_a_dataset_that_shuffles_itself_is_asked_for_its_order() -> None:
    loader = loader_of()
    loader.set_epoch(3)
    assert ids(loader) == Permutation(LENGTH, 5, 3).positions(0, LENGTH).tolist()
    assert ids(build_loader(Numbers(), 8, shuffle=False, seed=5)) == list(range(LENGTH))


def test_a_table_called_permutation_is_no_order() -> None:
    """Such as the one by which a dataset permutes the pixels of its images."""
    dataset: Any = Plain()
    dataset.permutation = torch.arange(4)
    assert sorted(ids(loader_of(dataset))) == list(range(LENGTH))


def test_an_order_is_drawn_in_pieces_and_no_list_of_it_is_made() -> None:
    asked: list[tuple[int, int]] = []

    def draw(start: int, stop: int) -> np.ndarray:
        asked.append((start, stop))
        return np.arange(start, stop)

    positions = Drawn(draw, 10**15)
    for start in range(10**9, 10**9 + 100_000, 1000):
        assert positions[start : start + 1000].tolist() == list(range(start, start + 1000))
    assert len(asked) < 20 and max(stop - start for start, stop in asked) < 20_000
    assert positions[10**15 - 3 : 10**15 + 5].tolist() == [10**15 - 3, 10**15 - 2, 10**15 - 1]


def test_a_billion_samples_begin_at_once() -> None:
    loader = loader_of(Numbers(10**12), batch_size=4)
    loader.start_at(10**11)
    assert (
        next(iter(loader))["index"].tolist() == Permutation(10**12, 5, 1).positions(4 * 10**11, 4 * 10**11 + 4).tolist()
    )


@pytest.mark.parametrize("dataset", [Numbers(), Plain()])
@pytest.mark.parametrize("num_before", [0, 1, 5, 12, 13])
def test_an_epoch_is_taken_up_where_the_state_says(dataset: Any, num_before: int) -> None:
    before = loader_of(dataset)
    before.set_epoch(2)
    batches = iter(before)
    for _ in range(num_before):
        next(batches)
    state = before.state_dict()
    assert state["epoch"] == 2 and state["samples_consumed"] == min(LENGTH, num_before * BATCH_SIZE)
    expected = all_of(3, dataset)[LENGTH + state["samples_consumed"] :]
    assert taken_up(state, 3, loader_of(dataset)) == expected


def test_the_state_counts_what_was_handed_out_and_not_what_was_fetched() -> None:
    fetched: list[int] = []

    class Counting(Numbers):
        takes_tensors = True

        def __getitems__(self, positions: Any) -> Batch:
            fetched.append(len(positions))
            return {"input": torch.as_tensor(positions)}

    loader = loader_of(Counting())
    batches = iter(loader)
    next(batches)
    assert sum(fetched) > 2 * BATCH_SIZE, "several batches are made at once"
    assert loader.state_dict() == {
        "epoch": 1,
        "samples_consumed": BATCH_SIZE,
        "seed": 5,
        "shuffle": True,
        "dataset": "a" * 64,
    }


@pytest.mark.slow
@pytest.mark.parametrize(("before", "after"), [(0, 2), (2, 4), (4, 0)])
def test_the_number_of_workers_changes_nothing(before: int, after: int) -> None:
    first = loader_of(num_workers=before)
    batches = iter(first)
    found = ids([next(batches) for _ in range(4)])
    state = first.state_dict()
    first.close()
    second = loader_of(num_workers=after)
    found += taken_up(state, 2, second)
    second.close()
    assert state["samples_consumed"] == 4 * BATCH_SIZE and found == all_of(2)


@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (2, 3)])
def test_the_number_of_ranks_changes_nothing(before: int, after: int) -> None:
    first = shared(before)
    begun = [iter(loader) for loader in first]
    found = [sorted(ids(next(batches) for batches in begun)) for _ in range(5)]
    states = [loader.state_dict() for loader in first]
    assert all(state == states[0] for state in states) and states[0]["samples_consumed"] == 5 * BATCH_SIZE
    second = shared(after)
    for loader in second:
        loader.load_state_dict(states[0])
    rest = [list(loader) for loader in second]
    for number, batches in enumerate(zip(*rest, strict=True), start=5):
        own = [batch for loader, batch in zip(second, batches, strict=True) if not loader.borrows(number)]
        found.append(sorted(ids(own)))
    order = all_of(1)
    assert found == [sorted(order[start : start + BATCH_SIZE]) for start in range(0, LENGTH, BATCH_SIZE)]


def shared(num_ranks: int) -> list[Loader]:
    loaders = [loader_of() for _ in range(num_ranks)]
    for rank, loader in enumerate(loaders):
        loader.share(rank, num_ranks, training=True)
    return loaders


@pytest.mark.parametrize("num_ranks", [1, 2, 3])
@pytest.mark.parametrize("length", [1, 2, 24, 25, 26])
def test_evaluation_counts_every_sample_once_on_any_number_of_ranks(num_ranks: int, length: int) -> None:
    found: list[int] = []
    for rank in range(num_ranks):
        loader = build_loader(Numbers(length), BATCH_SIZE, shuffle=False, seed=0)
        loader.share(rank, num_ranks, training=False)
        found += ids(loader)
    assert sorted(found) == list(range(length))


def test_a_state_that_is_over_goes_on_with_the_next_epoch() -> None:
    loader = loader_of()
    list(loader)
    state = loader.state_dict()
    assert state["samples_consumed"] == LENGTH
    assert taken_up(state, 2, loader_of()) == all_of(2)[LENGTH:]


def test_a_place_in_one_epoch_is_none_in_another() -> None:
    loader = loader_of()
    loader.load_state_dict({"epoch": 1, "samples_consumed": 16, "seed": 5, "shuffle": True, "dataset": "a" * 64})
    loader.set_epoch(2)
    assert loader.state_dict()["samples_consumed"] == 0
    assert ids(loader) == all_of(2)[LENGTH:]


def test_a_new_epoch_begins_at_nothing() -> None:
    loader = loader_of()
    list(loader)
    loader.set_epoch(2)
    assert loader.state_dict() == {"epoch": 2, "samples_consumed": 0, "seed": 5, "shuffle": True, "dataset": "a" * 64}


STATE = {"epoch": 1, "samples_consumed": 16, "seed": 5, "shuffle": True, "dataset": "a" * 64}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "b" * 64}, r"another dataset \(bbbbbbbbbbbb\.\.\.; this one is aaaaaaaaaaaa\.\.\.\)"),
        ({"seed": 6}, "an order with seed=6, not 5"),
        ({"shuffle": False}, "an order with shuffle=False, not True"),
        ({"samples_consumed": 12}, "12 samples into epoch 1, which is no whole number of batches of 8 among 103"),
        ({"samples_consumed": 104}, "104 samples into epoch 1"),
        ({"samples_consumed": -8}, "its samples_consumed is -8"),
        ({"epoch": "1"}, "its epoch is '1'"),
        ({"seed": None}, "its seed is None"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_in_one_line(change: dict[str, Any], message: str) -> None:
    loader = loader_of()
    with pytest.raises(UserError, match=message) as caught:
        loader.load_state_dict({**STATE, **change})  # pyright: ignore[reportArgumentType]
    assert "\n" not in str(caught.value)
    assert ids(loader) == all_of(1), "and the loader is as it was"


def test_a_dataset_without_a_fingerprint_is_known_by_its_length() -> None:
    state = loader_of(Plain()).state_dict()
    with pytest.raises(UserError, match=r"another dataset \(103 samples; this one is 50 samples\)"):
        loader_of(Plain(50)).load_state_dict(state)


class Bytes(Numbers):
    """Bytes that become numbers where the batch is worked on."""

    finishes_on_device = True

    def __getitems__(self, positions: list[int]) -> Batch:
        return self.finish(self.gather(positions))

    def gather(self, positions: list[int]) -> Batch:
        return {"input": torch.tensor(positions, dtype=torch.uint8)}

    def finish(self, batch: Batch) -> Batch:
        assert torch.utils.data.get_worker_info() is None, "by then it has left the worker, as bytes"
        return batch | {"input": batch["input"].float() / 2}  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize("num_workers", [0, pytest.param(2, marks=pytest.mark.slow)])
def test_batches_are_finished_where_they_are_worked_on(num_workers: int) -> None:
    loader = loader_of(Bytes(), num_workers=num_workers)
    for batch in loader:
        assert batch["input"].equal(batch["index"] / 2)
    loader.close()
