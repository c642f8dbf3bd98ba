"""Ranks share every batch, whatever its size."""

import pytest
import torch

from labwright.train import build_loader
from labwright.train.distributed.share import Share


class Numbers:
    """Samples that are their positions."""

    def __init__(self, length: int) -> None:
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, position: int) -> tuple[int, int]:
        return position, position


def loaders(length: int, batch_size: int, size: int, *, training: bool) -> list[object]:
    made = []
    for rank in range(size):
        loader = build_loader(Numbers(length), batch_size, shuffle=training, seed=1)
        loader.share(rank, size, training=training)
        made.append(loader)
    return made


@pytest.mark.parametrize(("length", "batch_size", "size"), [(23, 6, 2), (23, 6, 3), (23, 7, 3), (13, 4, 4), (2, 5, 3)])
@pytest.mark.parametrize("training", [True, False])
def test_the_parts_of_all_ranks_are_the_batches_of_one_process(
    length: int, batch_size: int, size: int, training: bool
) -> None:
    alone = [batch["index"].tolist() for batch in build_loader(Numbers(length), batch_size, shuffle=training, seed=1)]
    found: list[list[int]] = [[] for _ in alone]
    for loader in loaders(length, batch_size, size, training=training):
        batches = list(loader)
        assert len(batches) == len(alone) or not training
        for number, batch in enumerate(batches):
            assert len(batch["index"]) <= -(-batch_size // size)
            if not loader.borrows(number):
                found[number] += batch["index"].tolist()
    assert found == alone


def test_a_rank_for_which_nothing_is_left_borrows_while_training_and_passes_over_else() -> None:
    last = loaders(9, 4, 4, training=True)[3]
    assert [len(batch["index"]) for batch in last] == [1, 1, 1]
    assert [last.borrows(number) for number in range(3)] == [False, False, True]
    assert len(list(loaders(9, 4, 4, training=False)[3])) == 2


def test_an_iteration_starts_after_the_same_batches_on_all_ranks() -> None:
    for loader in loaders(23, 6, 2, training=True):
        batches = [batch["index"].tolist() for batch in loader]
        loader.start_at(2)
        assert [batch["index"].tolist() for batch in loader] == batches[2:]


def test_several_batches_together_are_cut_as_one_by_one() -> None:
    positions = torch.arange(20)
    for size, batch_size in ((2, 4), (3, 4)):
        for rank in range(size):
            share = Share(rank, size, training=True)
            together = torch.cat(list(share.of(positions, batch_size)))
            one_by_one = torch.cat(
                [part for batch in positions.split(batch_size) for part in share.of(batch, batch_size)]
            )
            assert together.equal(one_by_one)


def test_what_is_drawn_for_a_batch_at_once_is_of_its_rank_and_on_the_first_as_alone() -> None:
    class Drawing(Numbers):
        def __getitems__(self, positions: list[int]) -> list[tuple[int, float]]:
            return [(position, float(torch.rand(()))) for position in positions]

    def drawn(share: tuple[int, int] | None) -> list[float]:
        loader = build_loader(Drawing(8), 4, shuffle=False, seed=1)
        if share is not None:
            loader.share(*share, training=True)
        return next(iter(loader))["target"].tolist()[:2]

    assert drawn((0, 2)) == drawn(None) != drawn((1, 2))
