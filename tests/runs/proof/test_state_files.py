"""Two states are compared by their bits, and what differs is named."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.args import UserError
from labwright.runs import encode_arrays
from labwright.runs.proof.state_files import compare_states

STATE: dict[str, Any] = {
    "model.weight": np.arange(6.0).reshape(2, 3),
    "adam.average": np.array([np.nan, 0.0], dtype=np.float32),
    "empty": np.zeros((0, 3)),
    "run": {"position": {"step": 7, "train_seconds": 1.5}, "best": float("nan"), "rows": [{"history": 3}]},
}


def differing(folder: Path, **changes: Any) -> list[str]:
    """What is found in a state and one with these changes; None takes a value out."""
    other = {name: value for name, value in (STATE | changes).items() if value is not None}
    for name, state in (("a", STATE), ("b", other)):
        (folder / name).write_bytes(encode_arrays(state))
    return compare_states(folder / "a", folder / "b").differing


def test_equal_states_differ_in_nothing_and_their_tensors_are_counted(tmp_path: Path) -> None:
    assert differing(tmp_path) == []
    found = compare_states(tmp_path / "a", tmp_path / "b")
    assert (found.num_tensors, found.num_values) == (3, 4)


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"adam.average": np.array([np.nan, -0.0], dtype=np.float32)}, ["adam.average"]),
        ({"model.weight": np.arange(6.0).reshape(3, 2)}, ["model.weight"]),
        ({"empty": np.zeros((0, 3), dtype=np.float32)}, ["empty"]),
        ({"adam.average": None, "model.weight": None}, ["model.weight", "adam.average"]),
        ({"more": np.zeros(1)}, ["more"]),
        ({"run": STATE["run"] | {"rows": [{"history": 4}]}}, ["run.rows.0.history"]),
        ({"run": STATE["run"] | {"position": {"step": 7.0, "train_seconds": 9}}}, ["run.position.step"]),
        ({"epoch": 1}, ["epoch"]),
    ],
    ids=["sign of zero", "shape", "type", "missing", "more", "value", "float for int", "more values"],
)
def test_whatever_is_not_the_same_is_named_the_model_first(
    tmp_path: Path, changes: dict[str, Any], names: list[str]
) -> None:
    assert differing(tmp_path, **changes) == names


def test_measured_seconds_do_not_count(tmp_path: Path) -> None:
    assert differing(tmp_path, run=STATE["run"] | {"position": {"step": 7, "train_seconds": 9.9}}) == []


@given(st.integers(min_value=0, max_value=48 + 8 - 1), st.integers(0, 7))
def test_every_flipped_bit_of_a_tensor_is_found(
    tmp_path_factory: pytest.TempPathFactory, position: int, bit: int
) -> None:
    folder = tmp_path_factory.mktemp("flipped")
    content = bytearray(encode_arrays({"a": np.arange(6.0), "b": np.ones(2, dtype=np.float32)}))
    (folder / "a").write_bytes(content)
    content[len(content) - 56 + position] ^= 1 << bit
    (folder / "b").write_bytes(content)
    [name] = compare_states(folder / "a", folder / "b").differing
    assert name in ("a", "b")


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x02" + bytes(7) + b"{\x80"])
def test_damaged_file_is_refused_by_its_name(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(UserError, match="/a is damaged"):
        compare_states(tmp_path / "a", tmp_path / "a")


def test_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="/a cannot be read: No such file"):
        compare_states(tmp_path / "a", tmp_path / "a")
