import pytest
import torch
from torch import nn

from labwright.train.precision import LossScale, autocast


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_model_computes_in_16_bits_and_keeps_its_weights(precision: str, dtype: torch.dtype) -> None:
    model = nn.Linear(3, 2)
    with autocast(precision, model, None):  # pyright: ignore[reportArgumentType]
        assert model(torch.randn(4, 3)).dtype == dtype
    assert model.weight.dtype == model(torch.randn(4, 3)).dtype == torch.float32


def test_model_without_weights_computes_in_16_bits_too() -> None:
    weight = torch.randn(3, 2)
    with autocast("bf16", nn.Identity(), None):
        assert (torch.randn(4, 3) @ weight).dtype == torch.bfloat16


def test_full_precision_is_no_block_at_all() -> None:
    model = nn.Linear(3, 2)
    with autocast("fp32", model, None):
        assert model(torch.randn(4, 3)).dtype == torch.float32
    assert autocast("fp32", model, None) is autocast("fp32", model, torch.device("meta"))


def test_loss_scale_moves_as_torchs_does() -> None:
    ours, theirs = LossScale(), torch.amp.GradScaler("cpu")
    weight = nn.Parameter(torch.ones(1))
    optimizer = torch.optim.SGD([weight], lr=0.0)
    overflows = [True] * 3 + [False] * 2001 + [True] + [False] * 2000
    for overflow in overflows:
        theirs.scale(weight.sum() * (torch.inf if overflow else 1.0)).backward()
        theirs.step(optimizer)
        theirs.update()
        optimizer.zero_grad()
        if overflow:
            ours.back_off()
        else:
            ours.keep_or_grow()
        assert ours.value == theirs.get_scale()
