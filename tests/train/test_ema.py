"""What is averaged, how, and that the model has its own weights back afterwards."""

import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from labwright.args.errors import UserError
from labwright.train import EMA, flatten_state, restore_state


def walk(model: nn.Module, ema: EMA, num_steps: int) -> list[list[Tensor]]:
    """Move the weights at random, updating `ema`; the weights at the start and after each step."""
    path = [[parameter.detach().clone() for parameter in model.parameters()]]
    for _ in range(num_steps):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        ema.update()
        path.append([parameter.detach().clone() for parameter in model.parameters()])
    return path


def bits(model: nn.Module) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model.state_dict().items()}


@settings(deadline=None)
@given(
    decay=st.floats(0, 0.9999),
    warmup_steps=st.integers(0, 12),
    every_n_steps=st.integers(1, 4),
    num_steps=st.integers(0, 9),
)
def test_average_equals_its_closed_form(decay: float, warmup_steps: int, every_n_steps: int, num_steps: int) -> None:
    """The sum over all weights seen, each with 1 - d of its own update times d of those after it."""
    model = nn.Linear(2, 1).double()
    ema = EMA(model, decay, warmup_steps, every_n_steps)
    path = walk(model, ema, num_steps)
    steps = range(every_n_steps, num_steps + 1, every_n_steps)
    decays = [(decay * min(1.0, step / max(warmup_steps, 1))) ** every_n_steps for step in steps]
    shares = [math.prod(decays)]  # of the weights at the start
    shares += [(1 - decays[update]) * math.prod(decays[update + 1 :]) for update in range(len(decays))]
    assert sum(shares) == pytest.approx(1.0)
    seen = [path[0], *(path[step] for step in steps)]
    for position, average in enumerate(ema.averages.values()):
        expected = sum(share * weights[position] for share, weights in zip(shares, seen, strict=True))
        torch.testing.assert_close(average, expected)


def test_interval_keeps_the_memory_of_the_average() -> None:
    model = nn.Linear(2, 1).double()
    often, seldom = EMA(model, 0.9), EMA(model, 0.9, every_n_steps=5)
    with torch.no_grad():
        model.weight.add_(1.0)
    for _ in range(20):
        often.update()
        seldom.update()
    torch.testing.assert_close(often.averages, seldom.averages)


def test_warmup_longer_than_the_run_divides_by_nothing() -> None:
    model = nn.Linear(2, 1)
    ema = EMA(model, 0.999, warmup_steps=1_000_000)
    *_, last = walk(model, ema, 3)
    assert ema.decay_at(0) == 0.0
    torch.testing.assert_close(list(ema.averages.values()), last, atol=1e-4, rtol=0)


def test_random_start_is_forgotten_in_the_warmup() -> None:
    model = nn.Linear(2, 1)
    with torch.no_grad():
        model.weight.fill_(1e6)
    ema = EMA(model, 0.9999, warmup_steps=100)
    with torch.no_grad():
        model.weight.fill_(1.0)
    for _ in range(100):
        ema.update()
    torch.testing.assert_close(ema.averages["weight"], model.weight.detach())


def test_running_statistics_are_averaged_and_counts_copied() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ema = EMA(model, decay=0.5)
    start = ema.averages["1.running_mean"].clone()
    model(5 + torch.randn(16, 3))
    ema.update()
    torch.testing.assert_close(ema.averages["1.running_mean"], (start + model.state_dict()["1.running_mean"]) / 2)
    assert ema.averages["1.num_batches_tracked"].item() == 1


def test_mask_of_infinities_stays_a_mask() -> None:
    """torch's AveragedModel, told to average buffers, makes NaN of it."""
    model = nn.Linear(3, 3)
    model.register_buffer("mask", torch.full((3, 3), -math.inf).triu(1))
    ema = EMA(model)
    ema.update()
    assert ema.averages["mask"].equal(model.get_buffer("mask"))


def test_buffers_are_left_to_the_model_on_demand() -> None:
    model = nn.BatchNorm1d(4)
    ema = EMA(model, with_buffers=False)
    model(5 + torch.randn(16, 4))
    raw = model.get_buffer("running_mean").clone()
    with ema.applied(model):
        assert model.get_buffer("running_mean").equal(raw)
    assert ema.averages.keys() == {"weight", "bias"}


def test_buffer_that_is_a_new_tensor_each_time_is_followed() -> None:
    model = nn.Linear(2, 2)
    model.register_buffer("center", torch.zeros(2))
    ema = EMA(model, decay=0.5)
    model.center = torch.ones(2)
    ema.update()
    assert ema.averages["center"].tolist() == [0.5, 0.5]


def test_shared_weights_are_averaged_once_and_stay_shared() -> None:
    model = nn.ModuleDict({"encoder": nn.Linear(3, 3), "decoder": nn.Linear(3, 3)})
    encoder, decoder = model["encoder"], model["decoder"]
    assert isinstance(encoder, nn.Linear) and isinstance(decoder, nn.Linear)
    decoder.weight = encoder.weight
    ema = EMA(model, decay=0.5)
    walk(model, ema, 2)
    assert ema.averages.keys() == {"encoder.weight", "encoder.bias", "decoder.bias"}
    with ema.applied(model):
        assert decoder.weight is encoder.weight
        assert decoder.weight.equal(ema.averages["encoder.weight"])


def test_small_steps_of_16_bit_weights_are_not_lost() -> None:
    model = nn.Linear(1, 1).bfloat16()
    with torch.no_grad():
        model.weight.fill_(1.0)
    ema = EMA(model, decay=0.999)
    with torch.no_grad():
        model.weight.fill_(2.0)
    for _ in range(1000):
        ema.update()
    assert ema.averages["weight"].item() == pytest.approx(2 - math.exp(-1), abs=1e-3)
    with ema.applied(model):
        assert model.weight.dtype == torch.bfloat16 and model.weight.item() == pytest.approx(1.632, abs=1e-2)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_model_has_its_own_weights_back_bit_for_bit(mode: Callable[[], torch.no_grad]) -> None:
    model: nn.Module = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with torch.no_grad():
        model.get_parameter("0.weight")[0, :2] = torch.tensor([-0.0, 1e-45])  # what arithmetic would not bring back
    ema = EMA(model, decay=0.5)
    walk(model, ema, 3)
    before, tensors = bits(model), list(model.parameters())
    with mode(), ema.applied(model):
        model(torch.randn(8, 3))  # in training mode, so the running statistics move
        assert model.get_parameter("0.weight").equal(ema.averages["0.weight"])
    assert bits(model) == before
    assert all(now is then for now, then in zip(model.parameters(), tensors, strict=True))


def test_model_has_its_own_weights_back_after_an_error() -> None:
    model = nn.Linear(3, 2)
    ema = EMA(model, decay=0.5)
    walk(model, ema, 3)
    before = bits(model)
    with pytest.raises(ZeroDivisionError), ema.applied(model):
        assert bits(model) != before
        raise ZeroDivisionError
    assert bits(model) == before


def test_average_can_be_given_to_another_model() -> None:
    student, teacher = nn.Linear(3, 2), nn.Linear(3, 2)
    ema = EMA(student, decay=0.5)
    walk(student, ema, 3)
    ema.copy_to(teacher)
    torch.testing.assert_close(dict(teacher.named_parameters()), ema.averages, rtol=0, atol=0, check_stride=False)


def test_model_without_weights_has_an_average_too() -> None:
    ema = EMA(nn.Identity())
    ema.update()
    with ema.applied(nn.Identity()):
        assert ema.averages == {}


def test_saved_average_goes_on_as_if_never_interrupted() -> None:
    model = nn.Linear(3, 2)
    ema = EMA(model, decay=0.9, warmup_steps=5, every_n_steps=2)
    walk(model, ema, 3)
    again = EMA(model, decay=0.9, warmup_steps=5, every_n_steps=2)
    again.load_state_dict(restore_state(flatten_state(ema.state_dict())))
    for _ in range(3):
        ema.update()
        again.update()
    torch.testing.assert_close(again.state_dict(), ema.state_dict(), rtol=0, atol=0)


def test_average_of_another_model_is_refused() -> None:
    with pytest.raises(UserError, match="another model: only one of the two has 0.bias, 0.weight, bias"):
        EMA(nn.Linear(3, 2)).load_state_dict(EMA(nn.Sequential(nn.Linear(3, 2))).state_dict())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decay": 1.0}, "decay must be at least 0 and below 1, not 1.0"),
        ({"warmup_steps": -1}, "warmup_steps must be at least 0, not -1"),
        ({"every_n_steps": 0}, "every_n_steps must be at least 1, not 0"),
    ],
)
def test_impossible_settings_are_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(UserError, match=message):
        EMA(nn.Linear(3, 2), **options)  # pyright: ignore[reportArgumentType]
