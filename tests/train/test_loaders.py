import multiprocessing
import random
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import Subset
from torch.utils.data import TensorDataset as PairDataset

from labwright.args.errors import UserError
from labwright.train import Batch, Loader, build_loader, loaders


class Numbers:
    """Whole batches: the squares of the first numbers."""

    def __init__(self, length: int) -> None:
        self.values = torch.arange(length, dtype=torch.float32)

    def __len__(self) -> int:
        return len(self.values)

    def __getitems__(self, positions: list[int]) -> Batch:
        index = torch.tensor(positions)
        return {"input": self.values[index], "target": self.values[index] ** 2, "index": index, "source": ["n"]}


class Samples:
    """Samples one by one, as `make` makes them."""

    draws_random_numbers = True

    def __init__(self, make: Any, length: int = 5) -> None:
        self.make = make
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> Any:
        return self.make(position)


def noisy_sample(position: int) -> dict[str, Any]:
    return {"input": torch.rand(3), "target": random.random() + np.random.rand(), "position": position}


class NoisyBatches(Numbers):
    """Whole batches that are drawn at random."""

    def __getitems__(self, positions: list[int]) -> Batch:
        return {"input": torch.rand(len(positions)), "target": torch.from_numpy(np.random.rand(len(positions)))}


def loader_of(dataset: Any, batch_size: int = 4, *, shuffle: bool = False, seed: int = 0, **options: Any) -> Loader:
    return build_loader(dataset, batch_size, shuffle=shuffle, seed=seed, **options)


def order(loader: Loader, epoch: int = 1) -> list[int]:
    loader.set_epoch(epoch)
    return [int(position) for batch in loader for position in batch["index"]]


def assert_same_batches(a: list[Batch], b: list[Batch]) -> None:
    assert len(a) == len(b)
    for left, right in zip(a, b, strict=True):
        assert left.keys() == right.keys()
        for key, value in left.items():
            assert value.equal(right[key]) if isinstance(value, Tensor) else value == right[key]


def test_every_sample_comes_once_and_the_last_batch_is_shorter() -> None:
    loader = loader_of(Numbers(10))
    assert [len(batch["input"]) for batch in loader] == [4, 4, 2]
    assert (len(loader), loader.num_batches, loader.num_samples) == (3, 3, 10)
    assert sorted(order(loader_of(Numbers(10), shuffle=True))) == list(range(10))


def test_validation_and_test_sets_are_not_shuffled() -> None:
    """T: all splits were shuffled."""
    loader = loader_of(Numbers(10), shuffle=False)
    assert order(loader, 1) == order(loader, 2) == list(range(10))


def test_the_order_follows_from_seed_and_epoch_alone() -> None:
    loader = loader_of(Numbers(100), shuffle=True, seed=1)
    first, second = order(loader, 1), order(loader, 2)
    assert first != second
    assert order(loader, 1) == first
    torch.manual_seed(123)
    assert order(loader_of(Numbers(100), shuffle=True, seed=1), 2) == second
    assert order(loader_of(Numbers(100), shuffle=True, seed=2), 1) != first


def test_the_order_does_not_depend_on_the_batch_size() -> None:
    small, large = (loader_of(Numbers(50), size, shuffle=True) for size in (3, 1000))
    assert order(small) == order(large)
    assert large.num_batches == 1


def test_whole_batches_pass_through_untouched() -> None:
    dataset = Numbers(3)
    (batch,) = loader_of(dataset, source="other")
    assert batch["source"] == ["n"] and batch["target"].tolist() == [0, 1, 4]


def test_samples_become_batches_that_know_where_they_come_from() -> None:
    dataset = Samples(lambda i: {"input": np.full(2, i, dtype=np.float32), "target": i, "name": f"image {i}"})
    batches = list(loader_of(dataset, 3, source="val"))
    assert batches[1]["input"].tolist() == [[3, 3], [4, 4]] and batches[1]["input"].dtype == torch.float32
    assert batches[1]["target"].equal(torch.tensor([3, 4]))
    assert batches[1]["name"] == ["image 3", "image 4"]
    assert batches[1]["index"].equal(torch.tensor([3, 4]))
    assert batches[1]["source"] == ["val", "val"]


def test_pairs_become_input_and_target() -> None:
    (batch,) = loader_of(Samples(lambda i: (torch.ones(2) * i, 0.5 * i)), 5)
    assert batch["input"].shape == (5, 2)
    assert batch["target"].equal(torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0])), "floats are single precision"


def test_datasets_of_torch_work_as_they_are() -> None:
    pairs = PairDataset(torch.arange(6.0), torch.arange(6))
    (batch,) = loader_of(Subset(pairs, [5, 2, 0]))
    assert batch["input"].tolist() == [5, 2, 0] and batch["index"].tolist() == [0, 1, 2]


def test_a_batch_that_the_dataset_keeps_is_not_changed() -> None:
    class Same:
        kept = {"input": torch.zeros(2)}

        def __len__(self) -> int:
            return 4

        def __getitems__(self, positions: list[int]) -> Batch:
            return self.kept

    assert [batch["index"].tolist() for batch in loader_of(Same(), 2)] == [[0, 1], [2, 3]]
    assert Same.kept.keys() == {"input"}


def test_a_collate_function_makes_the_batch() -> None:
    ragged = Samples(lambda i: torch.ones(i + 1))
    (batch,) = loader_of(ragged, 5, collate=lambda samples: {"input": nn.utils.rnn.pad_sequence(samples)})
    assert batch["input"].shape == (5, 5) and batch["index"].tolist() == [0, 1, 2, 3, 4]


def test_a_collate_function_gets_the_samples_that_a_dataset_fetches_at_once() -> None:
    class AtOnce:
        def __len__(self) -> int:
            return 3

        def __getitems__(self, positions: list[int]) -> list[int]:
            return positions

    (batch,) = loader_of(AtOnce(), collate=lambda samples: {"input": torch.tensor(samples) * 2})
    assert batch["input"].tolist() == [0, 2, 4]


def test_a_collate_function_without_samples_is_refused() -> None:
    with pytest.raises(UserError, match="dataset 'val' gives whole batches only, and collate is for samples"):
        list(loader_of(Numbers(3), collate=torch.stack, source="val"))


def test_samples_of_no_known_form_are_refused() -> None:
    with pytest.raises(UserError, match="pair of them; .* a Tensor"):
        next(iter(loader_of(Samples(lambda i: torch.ones(1)))))


def test_an_empty_dataset_is_refused_by_name() -> None:
    with pytest.raises(UserError, match="dataset 'val' is empty"):
        loader_of(Numbers(0), source="val")
    with pytest.raises(UserError, match="the Numbers is empty"):
        loader_of(Numbers(0))


def test_a_batch_size_of_zero_is_refused() -> None:
    with pytest.raises(UserError, match="at least 1, not 0"):
        loader_of(Numbers(3), 0)


def test_iterating_never_touches_the_global_generators() -> None:
    def states() -> list[Any]:
        return [random.getstate(), torch.get_rng_state().tolist(), str(np.random.get_state())]

    before = states()
    for dataset in (Numbers(10), Samples(noisy_sample)):
        list(loader_of(dataset, shuffle=True))
        assert states() == before


def trained_weights(*, validate: bool) -> Tensor:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    train, val = (loader_of(Samples(noisy_sample, 10), shuffle=shuffle, seed=0) for shuffle in (True, False))
    for epoch in (1, 2):
        train.set_epoch(epoch)
        for batch in train:
            optimizer.zero_grad()
            nn.functional.mse_loss(model(batch["input"])[:, 0], batch["target"].float()).backward()
            optimizer.step()
        if validate:
            list(val)
    return nn.utils.parameters_to_vector(model.parameters())


def test_validation_does_not_change_the_weights() -> None:
    assert trained_weights(validate=True).equal(trained_weights(validate=False))


def test_random_samples_differ_between_batches_and_epochs_and_repeat_with_the_seed() -> None:
    loader = loader_of(Samples(noisy_sample, 8))
    loader.set_epoch(1)
    first = list(loader)
    assert not first[0]["input"].equal(first[1]["input"])
    assert_same_batches(first, list(loader))
    loader.set_epoch(2)
    assert not first[0]["input"].equal(next(iter(loader))["input"])


def test_workers_yield_the_same_batches_in_every_epoch() -> None:
    alone = loader_of(Samples(noisy_sample, 10), shuffle=True)
    helped = loader_of(Samples(noisy_sample, 10), shuffle=True, num_workers=2)
    for epoch in (1, 2):
        alone.set_epoch(epoch)
        helped.set_epoch(epoch)
        assert_same_batches(list(alone), list(helped))


def test_there_are_no_more_workers_than_batches() -> None:
    """10,000 of them were started for a set of forty batches."""
    loader = build_loader(Numbers(10), 4, shuffle=False, seed=1, num_workers=50)
    before = len(multiprocessing.active_children())
    try:
        assert len(list(loader)) == 3
        assert len(multiprocessing.active_children()) - before == 3
    finally:
        loader.close()


def test_workers_survive_an_epoch_that_is_left_early() -> None:
    loader = loader_of(Numbers(40), shuffle=True, num_workers=2)
    expected = order(loader)
    loader.set_epoch(1)
    assert next(iter(loader))["index"].tolist() == expected[:4]
    assert order(loader) == expected


def draws_by_position(loader: Loader, epoch: int = 1) -> dict[int, Any]:
    loader.set_epoch(epoch)
    return {
        position: (batch["input"][row].tolist(), batch["target"][row].item())
        for batch in loader
        for row, position in enumerate(batch["position"].tolist())
    }


def test_what_is_drawn_for_a_sample_depends_neither_on_batch_size_nor_order_nor_workers() -> None:
    samples = Samples(noisy_sample, 12)
    alone = loader_of(samples, 1)
    expected, later = draws_by_position(alone), draws_by_position(alone, epoch=2)
    assert len({str(draws) for draws in [*expected.values(), *later.values()]}) == 24
    for batch_size, num_workers in ((5, 0), (12, 0), (5, 2)):
        loader = loader_of(samples, batch_size, shuffle=True, num_workers=num_workers)
        assert draws_by_position(loader) == expected
        assert draws_by_position(loader, epoch=2) == later
        loader.close()
    assert draws_by_position(loader_of(samples, 1, seed=1)) != expected


def test_what_a_collate_function_draws_repeats_and_leaves_no_trace() -> None:
    def mixed(samples: list[Any]) -> Batch:
        return {"input": torch.tensor(samples)[torch.randperm(len(samples))], "share": torch.rand(1)}

    before = torch.get_rng_state()
    fixed = Samples(float, 10)
    fixed.draws_random_numbers = False
    for dataset in (Samples(float, 10), fixed):
        loader = loader_of(dataset, collate=mixed)
        batches = list(loader)
        assert not batches[0]["share"].equal(batches[1]["share"])
        assert_same_batches(batches, list(loader))
        assert_same_batches(batches, list(loader_of(dataset, collate=mixed, num_workers=2)))
    assert torch.get_rng_state().equal(before)


def noisy_datasets(length: int) -> tuple[Any, ...]:
    return NoisyBatches(length), Samples(noisy_sample, length)


@given(st.data(), st.integers(1, 30), st.integers(1, 8), st.integers(1, 3), st.booleans())
def test_an_iteration_that_starts_later_goes_on_as_if_it_had_not(
    data: Any, length: int, batch_size: int, epoch: int, shuffle: bool
) -> None:
    for dataset in noisy_datasets(length):
        loader = loader_of(dataset, batch_size, shuffle=shuffle)
        loader.set_epoch(epoch)
        whole = list(loader)
        cut = data.draw(st.integers(0, len(whole)))
        again = loader_of(dataset, batch_size, shuffle=shuffle)
        again.start_at(cut)
        again.set_epoch(epoch)
        assert_same_batches(list(again), whole[cut:])
        assert_same_batches(list(again), whole)  # only the next iteration starts later


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(st.data(), st.integers(1, 30), st.integers(1, 8), st.integers(1, 2))
def test_workers_start_later_too(data: Any, length: int, batch_size: int, num_workers: int) -> None:
    for dataset in noisy_datasets(length):
        whole = list(loader_of(dataset, batch_size, shuffle=True))
        cut = data.draw(st.integers(0, len(whole)))
        loader = loader_of(dataset, batch_size, shuffle=True, num_workers=num_workers)
        loader.start_at(cut)
        assert_same_batches(list(loader), whole[cut:])
        assert_same_batches(list(loader), whole)
        loader.close()


def test_what_is_left_out_is_not_fetched() -> None:
    fetched: list[int] = []

    def sample(position: int) -> Any:
        fetched.append(position)
        return {"input": position}

    loader = loader_of(Samples(sample, 10))
    loader.start_at(2)
    assert [batch["index"].tolist() for batch in loader] == [[8, 9]] and fetched == [8, 9]


def test_starting_after_the_last_batch_is_refused() -> None:
    with pytest.raises(UserError, match="cannot start after 4 batches: dataset 'train' has 3"):
        loader_of(Numbers(10), source="train").start_at(4)


def test_what_goes_wrong_in_a_dataset_surfaces_with_the_samples_it_happened_to() -> None:
    class Broken(Numbers):
        def __getitems__(self, positions: list[int]) -> Batch:
            raise KeyError("broken")

    with pytest.raises(KeyError, match="broken") as raised:
        list(loader_of(Broken(3), source="train"))
    assert raised.value.__notes__ == ["in the batch of samples 0, 1, 2 of dataset 'train'"]


def test_a_dataset_that_stops_is_an_error_and_not_a_shorter_epoch() -> None:
    numbers = iter(range(3))
    with pytest.raises(RuntimeError, match="StopIteration"):
        list(loader_of(Samples(lambda position: {"input": next(numbers)})))


def test_pinned_batches_are_made_ahead_and_an_iteration_left_early_does_no_harm(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a machine with an accelerator the tensors would be pinned; here they only go the same way."""
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    monkeypatch.setattr(torch.accelerator, "current_device_index", lambda: 0)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda device: None)
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: tensor.clone())
    expected = list(loader_of(Numbers(40), shuffle=True))
    for num_workers in (0, 2):
        loader = loader_of(Numbers(40), shuffle=True, num_workers=num_workers, pin_memory=True)
        for _ in range(3):
            for left_early in loader:
                assert left_early["input"].equal(expected[0]["input"])
                break
            assert_same_batches(list(loader), expected)
        loader.close()


def test_samples_that_are_quick_to_fetch_get_no_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loaders, "_LONG_SECONDS", 60.0)  # all are, on a busy machine too
    loader = loader_of(Numbers(40), num_workers="auto")
    for _ in range(2):
        assert order(loader) == list(range(40))
    assert loader._workers is None


@pytest.mark.slow
def test_samples_that_take_long_are_fetched_by_workers_and_the_batches_stay_what_they_were(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(loaders, "_LONG_SECONDS", 0.0)  # all do
    monkeypatch.setattr(loaders, "usual_num_workers", lambda: 2)
    few, many = (Samples(noisy_sample, length) for length in (8, 22))
    loader = loader_of(few, num_workers="auto")
    expected = list(loader_of(few))
    assert_same_batches(list(loader), expected)
    assert loader._workers is None, "two batches say little"
    assert_same_batches(list(loader), expected)
    assert loader._workers is not None
    loader.close()
    loader = loader_of(many, num_workers="auto", shuffle=True)
    loader.start_at(1)
    assert_same_batches(list(loader), list(loader_of(many, shuffle=True))[1:])
    assert loader._workers is not None
    loader.close()


def test_a_dataset_may_take_positions_as_a_tensor_and_leave_index_and_source_to_the_loader() -> None:
    class Squares:
        draws_random_numbers = False
        takes_tensors = True

        def __len__(self) -> int:
            return 10

        def __getitems__(self, positions: Tensor) -> Batch:
            if positions.max() == 9 and len(positions) == 2:
                raise OSError("gone")
            return {"input": positions.float() ** 2}

    batches = list(loader_of(Squares(), 5, source="squares"))
    assert [batch["input"].tolist() for batch in batches] == [[0, 1, 4, 9, 16], [25, 36, 49, 64, 81]]
    assert batches[1]["index"].tolist() == [5, 6, 7, 8, 9] and batches[1]["source"] == ["squares"] * 5
    with pytest.raises(OSError, match="gone") as error:
        list(loader_of(Squares(), 4, source="squares"))
    assert error.value.__notes__ == ["in the batch of samples 8, 9 of dataset 'squares'"]


def test_loader_without_workers_closes_too() -> None:
    loader = loader_of(Numbers(10))
    assert order(loader) == list(range(10))
    loader.close()
    assert order(loader) == list(range(10))
