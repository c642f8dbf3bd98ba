"""A state of arrays survives its file, and a damaged file says so."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labwright.args import UserError
from labwright.runs import decode_arrays, encode_arrays

DTYPES = st.sampled_from([np.float32, np.float64, np.int64, np.uint8, np.bool_])


@given(
    values=st.dictionaries(
        st.text("abc", min_size=1, max_size=3),
        arrays.arrays(DTYPES, arrays.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)),
        max_size=3,
    ),
    step=st.integers(),
)
def test_round_trip_keeps_dtype_shape_and_content(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, Any], step: int
) -> None:
    path = tmp_path_factory.mktemp("arrays") / "state.safetensors"
    path.write_bytes(encode_arrays({**values, "step": step, "names": ["x", None]}))
    state = decode_arrays(path)
    assert state.keys() == {*values, "step", "names"}
    assert state["step"] == step and state["names"] == ["x", None]
    for name, value in values.items():
        assert state[name].dtype == value.dtype and state[name].shape == value.shape
        assert np.array_equal(state[name], value, equal_nan=value.dtype.kind == "f")


def test_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(b"not this")
    with pytest.raises(UserError, match="cannot be read as a checkpoint"):
        decode_arrays(path)


@pytest.mark.parametrize(
    ("state", "said"),
    [
        ({"layers": [np.zeros(2)]}, "state 'layers' is neither an array nor JSON.*a name each"),
        ({"layers": {"first": np.zeros(2)}}, "state 'layers' is neither an array nor JSON"),
        ({1: np.zeros(2)}, "names are texts, not 1; name it '1'"),
        ({"counts": {"all": [{0: 10}]}}, "state 'counts' has keys that are no texts"),
        ({"names": np.array(["a", "b"])}, "state 'names' is no array of numbers"),
        ({"things": np.array([object()])}, "state 'things' is no array of numbers"),
        ({"path": Path("here")}, "state 'path' is neither an array nor JSON"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_state_that_no_file_can_hold_is_refused_by_name(state: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        encode_arrays({"fine": np.ones(3), **state} if 1 not in state else state)


def test_nan_and_infinities_outside_arrays_stay(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    path.write_bytes(encode_arrays({"best": {"loss": float("inf")}, "last": [float("nan"), 1.0], "name": "\udcff"}))
    state = decode_arrays(path)
    assert state["best"] == {"loss": float("inf")} and state["name"] == "\udcff"
    assert np.isnan(state["last"][0]) and state["last"][1] == 1.0
