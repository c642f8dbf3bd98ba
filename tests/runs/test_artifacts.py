"""Named values are collected, and kept with the run where there is one."""

from pathlib import Path

import numpy as np
import pytest

from labwright.args import UserError
from labwright.runs import Artifacts
from labwright.runs.durable import read_jsonl


def test_without_a_run_values_are_only_collected(tmp_path: Path) -> None:
    artifacts = Artifacts()
    artifacts.store("best", {"threshold": 0.3})
    artifacts.append("rewards", 20.0)
    artifacts.append("rewards", 30.0)
    assert artifacts.values == {"best": {"threshold": 0.3}} and artifacts.rows == {"rewards": [20.0, 30.0]}
    assert not list(tmp_path.iterdir())


def test_what_was_collected_before_the_run_is_written_when_it_begins(tmp_path: Path) -> None:
    artifacts = Artifacts()
    artifacts.store("note", "hello")
    artifacts.append("rewards", {"episode": 1, "reward": 20.0})
    artifacts.keep_in(tmp_path)
    artifacts.append("rewards", 30.0)
    assert (tmp_path / "artifacts" / "note.txt").read_text() == "hello"
    assert read_jsonl(tmp_path / "artifacts" / "rewards.jsonl") == [{"episode": 1, "reward": 20.0}, {"value": 30.0}]


def test_each_kind_of_value_has_its_format(tmp_path: Path) -> None:
    import torch

    artifacts = Artifacts()
    artifacts.keep_in(tmp_path)
    artifacts.store("array", np.arange(6).reshape(2, 3))
    artifacts.store("tensor", torch.ones(2, requires_grad=True))
    artifacts.store("dict", {"a": [1, float("nan")]})
    folder = tmp_path / "artifacts"
    assert sorted(path.name for path in folder.iterdir()) == ["array.npy", "dict.json", "tensor.npy"]
    assert np.load(folder / "array.npy", allow_pickle=False).tolist() == [[0, 1, 2], [3, 4, 5]]
    assert np.load(folder / "tensor.npy", allow_pickle=False).tolist() == [1, 1]


def test_stored_array_does_not_change_with_the_one_in_use(tmp_path: Path) -> None:
    artifacts, weights = Artifacts(), np.zeros(2)
    artifacts.store("weights", weights)
    weights += 1
    assert artifacts.values["weights"].tolist() == [0, 0]


def test_storing_again_replaces(tmp_path: Path) -> None:
    artifacts = Artifacts()
    artifacts.keep_in(tmp_path)
    artifacts.store("best", 1)
    artifacts.store("best", 2)
    assert (tmp_path / "artifacts" / "best.json").read_text() == "2\n"


@pytest.mark.parametrize("name", ["../escape", "a/b", "", ".hidden"])
def test_name_that_would_leave_the_run_is_refused(tmp_path: Path, name: str) -> None:
    artifacts = Artifacts()
    artifacts.keep_in(tmp_path / "run")
    with pytest.raises(UserError, match="names a file"):
        artifacts.store(name, 1)
    assert not list(tmp_path.rglob("*.json"))


@pytest.mark.parametrize("value", [object(), {1, 2}, np.array([object()])])
def test_value_that_is_no_data_is_refused_in_one_line(tmp_path: Path, value: object) -> None:
    artifacts = Artifacts()
    (tmp_path / "run").mkdir()
    artifacts.keep_in(tmp_path / "run")
    with pytest.raises(UserError, match="'thing' is neither JSON, nor an array, nor a text"):
        artifacts.store("thing", value)
    assert "thing" not in artifacts.values
