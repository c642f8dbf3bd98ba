"""The search for the largest batch: with a memory that refuses, one that is foreseen, and what is left behind."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright import UserError
from labwright.args.tools import BatchFindOptions
from labwright.session.tools import BatchSizes, Tried, find_batch_size
from labwright.session.tools import batch_sizes as module
from labwright.session.tools.memory import Peak, fenced, memory_limit
from labwright.train.system_memory import is_out_of_memory

QUICK = BatchFindOptions(seconds=1e-6, memory_limit=10**12)  # pyright: ignore[reportArgumentType]


def full_beyond(points: Any, largest: int) -> Any:
    class Full(points):
        def compute_loss(self, batch: Any) -> Any:
            if len(batch["index"]) > largest:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
            return super().compute_loss(batch)

    return Full


def verdicts(found: BatchSizes) -> dict[int, bool]:
    return {tried.batch_size: tried.fits for tried in found.tried}


def test_sizes_are_doubled_until_memory_is_refused_and_then_halved(make: Callable[..., Any], points: Any) -> None:
    told: list[int] = []
    found = find_batch_size(
        make(full_beyond(points, 21), batch_size=4), QUICK, lambda tried: told.append(tried.batch_size)
    )
    assert told == [4, 8, 16, 32, 24, 20, 22]
    assert verdicts(found) == {4: True, 8: True, 16: True, 20: True, 22: False, 24: False, 32: False}
    assert found.largest is not None and found.largest.batch_size == 20
    assert all((tried.samples_per_second or 0) > 0 for tried in found.tried if tried.fits)
    assert found.summary().startswith("largest that fits: --batch_size=20\nsmallest within 5 % of the fastest: ")


def test_no_batch_is_larger_than_the_training_set_or_than_asked_for(make: Callable[..., Any]) -> None:
    found = find_batch_size(make(), QUICK)
    assert verdicts(found) == {32: True, 60: True}
    assert "--batch_size=60 (none larger was tried; there are 60 samples)" in found.summary()
    options = QUICK.model_copy(update={"smallest_batch": 2, "largest_batch": 5})
    assert verdicts(find_batch_size(make(), options)) == {2: True, 4: True, 5: True}
    assert verdicts(find_batch_size(make(), QUICK.model_copy(update={"largest_batch": 8}))) == {8: True}
    for sizes, problem in (
        ({"smallest_batch": 61}, "--smallest_batch=61 is larger than the training set, of 60 samples"),
        ({"smallest_batch": 9, "largest_batch": 8}, "--smallest_batch=9 is larger than --largest_batch=8"),
    ):
        with pytest.raises(UserError, match=f"^{problem}$"):
            find_batch_size(make(), QUICK.model_copy(update=sizes))


def test_no_size_is_measured_with_what_the_one_before_has_freed(make: Callable[..., Any], points: Any) -> None:
    class Watched(points):
        kept: set[bool] = set()

        def compute_loss(self, batch: Any) -> Any:
            self.kept.add(self.freed_memory is not None and self.freed_memory.is_kept)
            return super().compute_loss(batch)

    find_batch_size(make(Watched), QUICK)
    assert Watched.kept == {False}


def test_where_none_fits_there_is_no_answer(make: Callable[..., Any], points: Any) -> None:
    found = find_batch_size(make(full_beyond(points, 0)), QUICK)
    assert (verdicts(found), found.largest, found.fastest) == ({32: False}, None, None)
    assert found.summary().startswith("no batch fits into 1 TB; try a smaller one with --smallest_batch, or give")
    assert found.to_json()["largest"] is None


def test_why_none_fits_is_no_dead_end() -> None:
    found = BatchSizes("x", 10**6, 100, process_bytes=300 * 10**6, tried=[Tried(32, fits=False)])
    assert found.summary().startswith("no batch fits: 1 MB may be used, and the process takes 300 MB before the first;")
    found = BatchSizes("x", 10**9, 100, process_bytes=300 * 10**6, tried=[Tried(1, fits=False)])
    assert found.summary() == "not even a single sample fits into 1 GB; give more with --memory_limit"


def test_what_will_not_fit_is_foreseen_and_not_tried(
    make: Callable[..., Any], points: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()

    class Watched(points):
        def compute_loss(self, batch: Any) -> Any:
            seen.add(self.args.batch_size)
            return super().compute_loss(batch)

    experiment = make(Watched, batch_size=4)
    monkeypatch.setattr(module.Peak, "read", lambda self: 1000 + 100 * max(seen))
    monkeypatch.setattr(module, "fenced", lambda *_: pytest.MonkeyPatch.context())  # the limit is none of this process
    found = find_batch_size(experiment, QUICK.model_copy(update={"memory_limit": 3300}))
    assert seen == {4, 8, 16, 20, 22}
    foreseen = {tried.batch_size: tried.peak_bytes for tried in found.tried if tried.is_foreseen}
    assert foreseen == {32: 4200, 24: 3400}
    assert found.largest is not None and (found.largest.batch_size, found.largest.peak_bytes) == (22, 3200)


def test_the_fastest_is_the_smallest_of_those_that_are_about_as_fast() -> None:
    found = BatchSizes("x", 10, 100)
    for size, pace in ((1, 10.0), (2, 96.0), (4, 100.0), (8, 99.0)):
        found.tried.append(Tried(size, True, samples_per_second=pace))
    assert found.fastest is not None and found.fastest.batch_size == 2


def test_a_last_sample_is_not_left_alone_with_batch_normalization(make: Callable[..., Any], points: Any) -> None:
    class Normalized(points):
        def build_model(self) -> Any:
            return torch.nn.Sequential(torch.nn.BatchNorm1d(2), torch.nn.Linear(2, 2))

    options = QUICK.model_copy(update={"smallest_batch": 59})
    assert verdicts(find_batch_size(make(Normalized), options)) == {59: True, 60: True}


def test_the_experiment_is_as_it_was_and_nothing_is_left(make: Callable[..., Any], tmp_path: Path) -> None:
    experiment = make()
    before, numbers = dict(vars(experiment)), torch.get_rng_state()
    find_batch_size(experiment, QUICK)
    assert vars(experiment) == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert not [*tmp_path.rglob("*")]


def test_an_error_that_is_not_about_memory_is_told(make: Callable[..., Any], points: Any) -> None:
    class Broken(points):
        def compute_loss(self, batch: Any) -> Any:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        find_batch_size(make(Broken), QUICK)


def test_what_is_beyond_the_fence_is_refused_and_nothing_is_killed() -> None:
    cpu = torch.device("cpu")
    peak = Peak(cpu).read()
    assert peak is not None
    with fenced(cpu, peak + 2**28), pytest.raises((RuntimeError, MemoryError)) as refused:
        torch.empty(2**30)
    assert is_out_of_memory(refused.value)
    assert is_out_of_memory(RuntimeError("could not create a primitive"))  # oneDNN, for its code
    assert not is_out_of_memory(RuntimeError("could not create a primitive descriptor for a pooling"))
    assert not is_out_of_memory(RuntimeError("shape mismatch"))
    assert torch.empty(2**30).numel() == 2**30  # nothing of it is used, so it takes no memory


def test_the_peak_is_of_what_came_after_the_restart() -> None:
    peak = Peak(torch.device("cpu"))
    torch.ones(2**24)  # 64 MB
    before = peak.read()
    peak.restart()
    after = peak.read()
    assert before is not None and after is not None and after <= before


def test_most_of_what_is_free_may_be_used() -> None:
    assert 0 < memory_limit(torch.device("cpu")) < 2**50
