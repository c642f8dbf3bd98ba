import pytest
import torch

from labwright.args.errors import UserError
from labwright.train import add_noise


def test_white_noise_has_its_deviation_and_leaves_the_inputs_alone() -> None:
    """T: the noise options crashed."""
    inputs = torch.ones(64, 1, 28, 28)
    noisy = add_noise(inputs, white_noise_sd=0.5, constant_offset_sd=0.0)
    noise = noisy - inputs
    assert noise.std().item() == pytest.approx(0.5, rel=0.05)
    assert noise.mean().item() == pytest.approx(0.0, abs=0.02)
    assert inputs.eq(1).all()


def test_a_constant_offset_is_one_number_per_sample() -> None:
    """T: the noise options crashed."""
    inputs = torch.zeros(2000, 3, 2)
    offsets = add_noise(inputs, white_noise_sd=0.0, constant_offset_sd=2.0).flatten(1)
    assert offsets.eq(offsets[:, :1]).all()
    assert offsets[:, 0].std().item() == pytest.approx(2.0, rel=0.1)


def test_both_kinds_add_up() -> None:
    noisy = add_noise(torch.zeros(2000, 50), white_noise_sd=3.0, constant_offset_sd=4.0)
    assert noisy.std().item() == pytest.approx(5.0, rel=0.1)
    assert noisy.mean(1).std().item() == pytest.approx(4.0, rel=0.1)


def test_no_noise_draws_nothing() -> None:
    inputs = torch.zeros(3)
    before = torch.get_rng_state()
    assert add_noise(inputs, 0.0, 0.0) is inputs
    assert torch.get_rng_state().equal(before)


def test_half_precision_stays_half_precision() -> None:
    assert add_noise(torch.zeros(4, 2, dtype=torch.bfloat16), 1.0, 1.0).dtype == torch.bfloat16


def test_noise_on_integers_is_refused() -> None:
    with pytest.raises(UserError, match="real-valued inputs, not torch.int64"):
        add_noise(torch.zeros(3, dtype=torch.int64), 0.1, 0.0)
