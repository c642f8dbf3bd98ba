from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from labwright.runs.plots.images import Cells, checked_images, count_broken, displayable, tile_size, value_range

PURPLE = (0.8, 0.475, 0.655)  # rounded
ANY_FLOAT = st.floats(width=64, allow_nan=True, allow_infinity=True)


@given(arrays(np.float64, array_shapes(min_dims=3, max_dims=4, max_side=4), elements=ANY_FLOAT))
def test_whatever_the_values_the_tiles_are_red_green_and_blue_from_0_to_1(images: NDArray[Any]) -> None:
    tiles = displayable(checked_images(images))
    assert tiles.shape == (len(images), *images.shape[-2:], 3)
    assert ((tiles >= 0) & (tiles <= 1)).all()


def test_bytes_are_shares_of_255_and_other_numbers_are_stretched_only_if_they_must(digits: Any) -> None:
    as_bytes = np.round(digits.images * 255).astype(np.uint8)
    assert np.allclose(displayable(checked_images(as_bytes))[..., 0], digits.images, atol=0.002)
    assert value_range(checked_images(digits.images[:1] / 2)) == (0.0, 1.0)
    sixteenths = checked_images((digits.images * 16).astype(np.int64))
    assert np.allclose(displayable(sixteenths)[..., 2], digits.images)


def test_channels_are_colours_or_the_first_of_them_grey() -> None:
    image = np.stack([np.full((2, 2), shade) for shade in (0.25, 0.5, 0.75, 0.9)])
    assert displayable(checked_images(image[None]))[0, 0, 0].tolist() == [0.25, 0.5, 0.75]
    assert displayable(checked_images(image[None, :2]))[0, 0, 0].tolist() == [0.25, 0.25, 0.25]


def test_pixels_that_are_not_finite_are_purple_and_do_not_disturb_the_rest() -> None:
    images = np.array([[[0.0, 10.0], [np.nan, np.inf]], [[5.0, 5.0], [5.0, 5.0]]])
    tiles = displayable(checked_images(images))
    assert tiles[0, 1, 0].round(3).tolist() == tiles[0, 1, 1].round(3).tolist() == list(PURPLE)
    assert (tiles[0, 0, 0, 0], tiles[0, 0, 1, 0], tiles[1, 0, 0, 0]) == (0.0, 1.0, 0.5)
    assert count_broken(images) == "1 of 2 with values that are not finite (purple)"
    assert count_broken(images[1:]) == count_broken(images[:0]) == ""


@pytest.mark.parametrize("images", [np.zeros(4), np.zeros((2, 2)), np.zeros((2, 0, 4)), np.zeros((1, 1, 1, 1, 1)), 5])
def test_other_shapes_are_refused_by_name(images: Any) -> None:
    with pytest.raises(ValueError, match=r"^noisy must be \[n, H, W\] or \[n, C, H, W\], not \["):
        checked_images(images, "noisy")


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(ValueError, match="images must be numbers, not <U1"):
        checked_images(np.full((1, 2, 2), "a"))


def test_no_images_are_an_empty_array_whatever_their_shape() -> None:
    for empty in ([], np.zeros((0, 8, 8)), np.zeros((0, 3, 8, 8))):
        assert displayable(checked_images(np.asarray(empty))).shape[0] == 0


def test_tiles_keep_their_proportions_until_one_side_would_vanish() -> None:
    assert tile_size(np.zeros((1, 8, 16)), 1.0) == (1.0, 0.5)
    assert tile_size(np.zeros((1, 1, 500)), 1.0) == (1.0, 0.1)


@given(st.integers(1, 5), st.integers(1, 5))
def test_cells_fill_their_sheet_exactly(num_rows: int, num_columns: int) -> None:
    cells = Cells(0.5, 0.5, 0.7, 0.9, left=0.3, above=0.2)
    width, height = cells.size(num_rows, num_columns)
    x, y = cells.corner(num_rows - 1, num_columns - 1)
    assert x + 0.6 == pytest.approx(width)
    assert y - 0.2 + 0.9 == pytest.approx(height)
