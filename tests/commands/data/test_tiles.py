"""What a contact sheet shows of a value."""

import numpy as np
import pytest

from labwright.commands.data.tiles import Tile, classes_of, mask_of, painted, shrink, tile_of, value_range


def test_bytes_are_an_image_whichever_way_their_channels_lie() -> None:
    grey = np.arange(12, dtype=np.uint8).reshape(3, 4)
    colors = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    for image, expected in [
        (grey, np.repeat(grey[..., None], 3, axis=-1)),
        (grey > 5, np.repeat((grey > 5)[..., None] * 255, 3, axis=-1)),
        (colors, colors),
        (colors.transpose(2, 0, 1), colors),
        (colors / np.float32(255), colors),
    ]:
        pixels = tile_of(image).pixels
        assert pixels is not None and pixels.dtype == np.uint8
        np.testing.assert_array_equal(pixels, expected)


def test_what_is_transparent_is_white() -> None:
    image = np.zeros((2, 2, 4), np.uint8)
    image[0, 0, 3] = 255
    pixels = tile_of(image).pixels
    assert pixels is not None and pixels[..., 0].tolist() == [[0, 255], [255, 255]]


def test_numbers_beyond_bytes_are_a_heat_map_or_a_curve() -> None:
    values = np.arange(10, dtype=np.uint16).reshape(2, 5)
    for tile in (tile_of(values), tile_of(np.stack([values] * 5))):
        assert tile.values is not None and tile.values.tolist() == values.tolist()
    curve = tile_of(np.array([1, 2, 4])).curve
    assert curve is not None and curve.tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("a cat\non a mat", "a cat\non a mat"),
        ({"boxes": [[1, 2]], "name": "cat"}, "boxes: [[1, 2]]\nname: cat"),
        ({"a": np.zeros(2), "b": np.zeros(3)}, "a: float64 [2]\nb: float64 [3]"),
        (b"1234", "4 bytes without a codec"),
        (7, "7"),
        (np.float32(0.5)[None][0:1].reshape(()), "0.5"),
        (np.zeros((0, 3)), "float64 [0, 3]"),
        (np.array(["a", "b"]), "<U1 [2]"),
    ],
    ids=range(8),
)
def test_everything_else_is_text(value: object, text: str) -> None:
    assert tile_of(value) == Tile(text=text)


def test_a_class_is_shown_by_number_and_name() -> None:
    assert tile_of(1, ["cat", "dog"]).text == "1 (dog)"
    assert tile_of(2, ["cat", "dog"]).text == "2"


def test_heat_maps_share_a_scale_and_what_is_not_finite_is_purple() -> None:
    tiles = [Tile(values=np.array([[0.0, np.nan]])), Tile(values=np.array([[4.0, np.inf]])), Tile(text="none")]
    assert value_range(tiles) == (0.0, 4.0)
    assert value_range([]) == (0.0, 1.0)
    colors = painted(np.array([[0.0, 4.0, np.nan]]), (0.0, 4.0))[0].tolist()
    assert colors == [[68, 1, 84], [253, 231, 37], [204, 121, 167]]


def test_a_large_sample_takes_little_memory() -> None:
    tile = Tile(pixels=np.zeros((3000, 1000, 3), np.uint8), mask=np.zeros((3000, 1000), np.int64))
    shrink(tile, 400)
    assert tile.shape == (400, 133)
    assert tile.mask is not None and tile.mask.shape == (375, 125)
    curve = Tile(curve=np.where(np.arange(100_000) == 77_777, 5.0, 0.0))
    shrink(curve, 400)
    assert curve.curve is not None and len(curve.curve) <= 1000 and curve.curve.max() == 5


def test_a_mask_has_two_axes_of_whole_numbers() -> None:
    assert mask_of(np.array([[True, False]])).tolist() == [[1, 0]]
    for value, found in [(np.zeros((2, 2)), "float64 [2, 2]"), (np.zeros((2, 2, 3), int), "[2, 2, 3]"), (3, "int")]:
        with pytest.raises(ValueError, match="a mask is an array") as error:
            mask_of(value)
        assert found in str(error.value)
    assert classes_of([Tile(mask=np.array([[0, 2]])), Tile(), Tile(mask=np.array([[1, 2]]))]) == [1, 2]
