"""How the process computes within a block, and that it computes as before afterwards."""

from collections.abc import Iterator

import pytest
import torch

from labwright.train import flushed_denormals, matmul_precision
from labwright.train.arithmetic import can_flush, is_flushing

pytestmark = pytest.mark.skipif(not can_flush(), reason="this CPU cannot take denormal numbers for zero")


def denormals_in_halves(num_threads: int = 2) -> list[bool]:
    """Whether there are denormal numbers in each part of a product, one part for each thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(num_threads)
    product = (torch.full((2**20,), 1e-30) * 1e-10).view(torch.int32)  # as integers: a comparison would flush as well
    torch.set_num_threads(threads)
    return [bool(part.any()) for part in product.chunk(num_threads)]


@pytest.fixture(autouse=True)
def as_torch_begins() -> Iterator[None]:
    assert not is_flushing()
    yield
    assert not is_flushing() and denormals_in_halves() == [True, True]


def test_tiny_numbers_are_zero_within_and_back_afterwards() -> None:
    with flushed_denormals():
        assert is_flushing() and denormals_in_halves(1) == [False]
    assert denormals_in_halves(1) == [True]


def test_threads_that_torch_had_before_flush_too() -> None:
    assert denormals_in_halves() == [True, True]
    with flushed_denormals():
        assert denormals_in_halves() == [False, False]


def test_threads_that_begin_within_do_not_flush_afterwards() -> None:
    with flushed_denormals():
        assert denormals_in_halves() == [False, False]
    assert denormals_in_halves() == [True, True]


def test_an_error_within_puts_everything_back() -> None:
    with pytest.raises(ZeroDivisionError), flushed_denormals(), matmul_precision("medium"):
        raise ZeroDivisionError
    assert torch.get_float32_matmul_precision() == "highest"


def test_whoever_flushes_already_still_does_afterwards() -> None:
    torch.set_flush_denormal(True)
    try:
        with flushed_denormals(False):
            assert not is_flushing()
        assert is_flushing()
        with flushed_denormals():
            pass
        assert is_flushing() and denormals_in_halves() == [False, False]
    finally:
        torch.set_flush_denormal(False)
        with flushed_denormals(False):
            pass


def test_the_number_of_threads_stays() -> None:
    threads = torch.get_num_threads()
    with flushed_denormals():
        assert torch.get_num_threads() == threads
    assert torch.get_num_threads() == threads


def test_normal_numbers_come_out_as_without() -> None:
    x = torch.randn(300, 300, generator=torch.Generator().manual_seed(0), requires_grad=True)

    def gradient() -> torch.Tensor:
        [found] = torch.autograd.grad(((x @ x).softmax(dim=1) * x).sum(), [x])
        return found

    before = gradient()
    with flushed_denormals():
        assert torch.equal(gradient(), before)


def test_moments_of_adam_decay_to_zero_and_the_weights_are_the_same() -> None:
    weights = []
    for wanted in (True, False):
        weight = torch.nn.Parameter(torch.ones(8))
        optimizer = torch.optim.Adam([weight], betas=(0.5, 0.999), fused=True)
        with flushed_denormals(wanted):
            for step in range(130):
                weight.grad = torch.full((8,), 1e-3 if step == 0 else 0.0)
                optimizer.step()
            moment = optimizer.state[weight]["exp_avg"].view(torch.int32)
        assert bool((moment == 0).all()) == wanted
        weights.append(weight.detach())
    assert torch.equal(*weights)


def test_products_of_matrices_are_as_exact_as_asked_for() -> None:
    with matmul_precision("high"):
        assert torch.get_float32_matmul_precision() == "high"
        with matmul_precision("medium"):
            assert torch.get_float32_matmul_precision() == "medium"
        assert torch.get_float32_matmul_precision() == "high"
    assert torch.get_float32_matmul_precision() == "highest"
