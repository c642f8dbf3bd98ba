"""Fingerprints as a training takes them."""

import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from labwright.runs.proof.fingerprints import (
    LOOK_EVERY,
    Fingerprint,
    FingerprintLog,
    Fingerprints,
    first_difference,
)
from labwright.train import build_loader
from labwright.train.fingerprints import Fingerprinter

LOSS, NORM = 0.5, 2.0


def rows(path: Path) -> list[Fingerprint]:
    run = Fingerprints.load(path)
    return [run[step] for step in range(1, len(run) + 1)]


def taken(path: Path, *windows: list[dict[str, Any]]) -> list[Fingerprint]:
    """The fingerprints of windows of batches."""
    fingerprinter = Fingerprinter(FingerprintLog(path))
    for window in windows:
        for batch in window:
            fingerprinter.add_batch(batch)
        fingerprinter.add_step(LOSS, NORM)
        fingerprinter.close_window(2, 1, LOSS)
    fingerprinter.close()
    return rows(path)


def batch(*index: int, source: str = "train") -> dict[str, Any]:
    return {"index": torch.tensor(index), "source": [source] * len(index), "input": torch.zeros(len(index))}


def test_order_is_told_by_index_and_source_of_all_batches_of_the_window(tmp_path: Path) -> None:
    same, again, swapped, elsewhere, accumulated, other = taken(
        tmp_path / "f",
        [batch(1, 2)],
        [batch(1, 2)],
        [batch(2, 1)],
        [batch(1, 2, source="more")],
        [batch(1), batch(2)],
        [batch(1), batch(3)],
    )
    assert same == again
    orders = [row.order for row in (same, swapped, elsewhere, accumulated, other)]
    assert len(set(orders)) == 5


@pytest.mark.parametrize(
    "index", [torch.arange(8)[::2], torch.tensor(3), [4, 2], ["b", "a"], torch.empty(1, device="meta")]
)
def test_an_index_of_any_kind_will_do(index: Any, tmp_path: Path) -> None:
    one, other = taken(tmp_path / "f", [{"index": index}], [{"index": index}])
    assert one == other


@pytest.mark.parametrize("source", [["a", "b"], [1, 2], "a"])
def test_a_source_of_any_kind_will_do(source: Any, tmp_path: Path) -> None:
    (row,) = taken(tmp_path / "f", [{"source": source}])
    assert row.order != 0


def test_a_batch_without_names_of_samples_is_a_fingerprint_too(tmp_path: Path) -> None:
    (row,) = taken(tmp_path / "f", [{"input": torch.zeros(2)}])
    assert (row.order, row.loss, row.norm) == (0, LOSS, NORM)


def test_randomness_changes_with_the_generator_and_stays_with_it(tmp_path: Path) -> None:
    fingerprinter = Fingerprinter(FingerprintLog(tmp_path / "f"))
    places = [(0, 0), (0, 1), (0, 2), (0, 624), (0, 1248), (0, 1249), (1, 0), (1, 1)]
    for seed, num_draws in [*places, *places]:
        torch.manual_seed(seed)
        torch.rand(num_draws)  # its generator makes 624 words at a time
        fingerprinter.close_window(LOOK_EVERY + 1, 1, LOSS)
    fingerprinter.close()
    randomness = [row.randomness for row in rows(tmp_path / "f")]
    assert len(set(randomness)) == len(places)
    assert randomness == randomness[: len(places)] * 2


def test_several_optimizers_make_one_fingerprint(tmp_path: Path) -> None:
    fingerprinter = Fingerprinter(FingerprintLog(tmp_path / "f"))
    fingerprinter.add_step(1.0, 3.0)
    fingerprinter.add_step(torch.tensor(0.5), torch.tensor(4.0))
    fingerprinter.close_window(1, 2, math.nan)
    fingerprinter.close()
    (row,) = rows(tmp_path / "f")
    assert (row.epoch, row.loss, row.norm) == (2, 1.5, 5.0)


def test_a_step_after_the_last_window_of_an_epoch_belongs_to_it(tmp_path: Path) -> None:
    """One optimizer of two steps at every second batch, and once more when the batches are over."""
    fingerprinter = Fingerprinter(FingerprintLog(tmp_path / "f"))
    for step in (1, 2):
        fingerprinter.add_batch(batch(step))
        fingerprinter.add_step(LOSS, 3.0)
        fingerprinter.close_window(step, 1, LOSS)
    fingerprinter.add_step(LOSS, 4.0)
    fingerprinter.close()
    assert [(row.loss, row.norm) for row in rows(tmp_path / "f")] == [(LOSS, 3.0), (2 * LOSS, 5.0)]


def test_a_window_that_was_given_up_before_a_checkpoint_leaves_nothing(tmp_path: Path) -> None:
    fingerprinter = Fingerprinter(FingerprintLog(tmp_path / "f"))
    fingerprinter.add_batch(batch(7))
    fingerprinter.add_step(9.0, 9.0)
    fingerprinter.flush()
    fingerprinter.add_batch(batch(1, 2))
    fingerprinter.add_step(LOSS, NORM)
    fingerprinter.close_window(2, 1, LOSS)
    fingerprinter.close()
    assert rows(tmp_path / "f") == taken(tmp_path / "g", [batch(1, 2)])


def test_a_step_that_is_not_the_steppers_is_told_by_the_loss(tmp_path: Path) -> None:
    fingerprinter = Fingerprinter(FingerprintLog(tmp_path / "f"))
    loss = torch.tensor([2.0], requires_grad=True)
    fingerprinter.close_window(1, 1, loss)
    with torch.no_grad():
        loss.zero_()  # whoever trains may use its memory for the next one
    fingerprinter.close()
    assert [(row.loss, row.norm) for row in rows(tmp_path / "f")] == [(2.0, 0.0)]


def test_steps_are_in_the_file_once_they_are_many_or_a_checkpoint_is_due(tmp_path: Path) -> None:
    fingerprinter = Fingerprinter(FingerprintLog(tmp_path / "f"))
    for step in range(1, 1101):
        fingerprinter.add_batch(batch(step))
        fingerprinter.close_window(step, 1, torch.tensor(0.25))
    assert len(rows(tmp_path / "f")) == 1024
    fingerprinter.flush()
    assert [row.loss for row in rows(tmp_path / "f")] == [0.25] * 1100
    fingerprinter.close()


class Noisy:
    """Samples that draw a random number each."""

    def __len__(self) -> int:
        return 20

    def __getitem__(self, position: int) -> tuple[Tensor, Tensor]:
        return torch.rand(3) + position, torch.tensor(position % 2)


def train(
    path: Path, *, seed: int = 0, draw: Callable[[int], object] | None = None, rate: float = 0.1, workers: int = 0
) -> Fingerprints:
    """Four epochs of a small model; `draw` is called before each step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    loader = build_loader(Noisy(), 4, shuffle=True, seed=seed, num_workers=workers)
    fingerprinter = Fingerprinter(FingerprintLog(path))
    step = 0
    for epoch in (1, 2, 3, 4):
        loader.set_epoch(epoch)
        for batch in loader:
            step += 1
            fingerprinter.add_batch(batch)
            if draw is not None:
                draw(step)
            loss = nn.functional.cross_entropy(model(batch["input"]), batch["target"])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            fingerprinter.add_step(loss.item(), 0.0)
            fingerprinter.close_window(step, epoch, loss)
    fingerprinter.close()
    loader.close()
    return Fingerprints.load(path)


def test_the_same_training_leaves_the_same_fingerprints_whatever_the_number_of_workers(tmp_path: Path) -> None:
    first, second = train(tmp_path / "a"), train(tmp_path / "b", workers=1)
    assert len(first) == 20
    assert first_difference(first, second) is None


def extra_draw_at_step_7(step: int) -> None:
    if step == 7:
        torch.rand(1)


@pytest.mark.parametrize(
    ("changes", "step", "component"),
    [
        ({"seed": 1}, 1, "data order"),
        ({"draw": extra_draw_at_step_7}, 7, "randomness"),
        ({"rate": 0.2}, 2, "weights"),
    ],
)
def test_a_planted_difference_is_found_at_its_step_under_its_name(
    changes: dict[str, Any], step: int, component: str, tmp_path: Path
) -> None:
    found = first_difference(train(tmp_path / "a"), train(tmp_path / "b", **changes))
    assert found is not None
    assert (found.step, found.components[0]) == (step, component)


def test_the_checksum_of_the_order_is_the_published_one(tmp_path: Path) -> None:
    (row,) = taken(tmp_path / "f", [{"index": torch.tensor([1, 2])}])
    assert row.order == zlib.crc32((1).to_bytes(8, "little") + (2).to_bytes(8, "little"))
