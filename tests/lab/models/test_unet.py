"""A U-Net takes images of any size."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lab.models.args import UNetArgs
from labwright.args import UserError


@given(height=st.integers(1, 20), width=st.integers(1, 20), depth=st.integers(1, 4))
def test_maps_have_the_size_of_the_image(height: int, width: int, depth: int) -> None:
    model = UNetArgs(channels=[2, 3, 4, 5][:depth]).build((3, height, width), 7)
    assert model(torch.zeros(2, 3, height, width)).shape == (2, 7, height, width)


def test_every_weight_has_a_part_in_the_maps() -> None:
    model = UNetArgs(channels=[4, 8, 16]).build((1, 8, 8), 2)
    model(torch.randn(4, 1, 8, 8)).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in model.parameters())


def test_coarse_resolutions_let_a_pixel_see_further() -> None:
    def rows_seen(channels: list[int]) -> int:
        torch.manual_seed(0)
        model = UNetArgs(channels=channels).build((1, 32, 32), 1).eval()
        image = torch.randn(1, 1, 32, 32, requires_grad=True)
        model(image)[0, 0, 16, 16].backward()
        assert image.grad is not None
        return int(image.grad.abs().sum(dim=3).count_nonzero())

    assert rows_seen([8]) == 5 < 15 < rows_seen([8, 8, 8])


def test_table_is_refused() -> None:
    with pytest.raises(UserError, match=r"needs images .* shape \[5\]"):
        UNetArgs().build((5,), 2)
