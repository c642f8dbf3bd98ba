"""Random numbers of samples: each follows from seed, sample and name alone, and looks like none of the others."""

import hashlib

import pytest
import torch
from torch import Tensor

from labwright.datasets import Draws
from labwright.train.seeds import numbered_seed

GOLDEN = 0x9E3779B97F4A7C15


def by_hand(seed: int, sample: int, name: str, number: int) -> float:
    """What the docstring of `Draws` says, in Python's whole numbers."""

    def mix(z: int) -> int:
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) % 2**64
        return z ^ (z >> 31)

    key = mix((seed + (sample + 1) * GOLDEN) % 2**64)
    start = int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big")
    return (mix((key + start + (number + 1) * GOLDEN) % 2**64) >> 40) / 2**24


@pytest.mark.parametrize("seed", [0, 1, 2**62 + 12345, 2**63 - 1])
def test_numbers_are_those_of_the_formula(seed: int) -> None:
    samples = [0, 1, 77, 10**9, 2**40 + 3, 2**62]
    for name in ("", "horizontal flip", "größe"):
        numbers = Draws(seed, torch.tensor(samples)).uniform(name, 3)
        assert numbers.tolist() == [[by_hand(seed, sample, name, k) for k in range(3)] for sample in samples]


def test_the_mixing_is_that_of_the_loaders_seeds() -> None:
    keys = Draws(99, torch.arange(50))._keys
    assert [(key % 2**64) >> 1 for key in keys.tolist()] == [numbered_seed(99, sample) for sample in range(50)]


def test_golden_numbers_never_change() -> None:
    numbers = Draws(1, torch.tensor([0, 1, 10**12])).uniform("horizontal flip", 2) * 2**24
    assert numbers.long().tolist() == [[5192211, 5307233], [1198336, 4718953], [11157136, 12521303]]


def test_a_sample_draws_alike_in_any_batch_and_as_often_as_it_is_asked() -> None:
    together = Draws(5, torch.arange(100))
    part = Draws(5, torch.tensor([40, 3, 77]))
    assert together.uniform("x", 4)[[40, 3, 77]].equal(part.uniform("x", 4))
    assert part.uniform("x", 4).equal(part.uniform("x", 4))
    assert part.uniform("x", 2).equal(part.uniform("x", 4)[:, :2])
    seeds = torch.full((3,), 5)
    assert Draws(seeds, torch.tensor([40, 3, 77])).uniform("x").equal(part.uniform("x"))


def correlation(one: Tensor, other: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([one.double(), other.double()]))[0, 1])


def test_numbers_are_spread_evenly_and_know_nothing_of_each_other() -> None:
    samples = torch.arange(20_000)
    numbers = Draws(0, samples).uniform("x", 2)
    counts = torch.histc(numbers[:, 0], 50, 0, 1)
    chi_square = float(((counts - 400) ** 2 / 400).sum())  # 49 degrees of freedom: mean 49, deviation 10
    assert 15 < chi_square < 100
    first = numbers[:, 0]
    others = [numbers[:, 1], Draws(1, samples).uniform("x")[:, 0], Draws(0, samples).uniform("y")[:, 0], first.roll(1)]
    assert all(abs(correlation(first, other)) < 0.03 for other in others)


def test_whole_numbers_stay_below_their_end(draws: Draws) -> None:
    ends = torch.arange(1, 65)
    numbers = draws.integers("x", ends)
    assert (numbers >= 0).all() and (numbers < ends).all() and numbers[0] == 0
    assert set(Draws(0, torch.arange(500)).integers("x", 3).tolist()) == {0, 1, 2}
    low, high = 0.5, 1.5
    assert ((draws.between("x", low, high) >= low) & (draws.between("x", low, high) < high)).all()
    assert not draws.chance("x", 0.0).any() and draws.chance("x", 1.0).all()


@pytest.mark.parametrize("probability", [0.1, 0.5, 0.9])
def test_chances_are_kept(probability: float) -> None:
    happens = Draws(3, torch.arange(10_000)).chance("x", probability)
    assert abs(float(happens.float().mean()) - probability) < 0.02
