"""Named values are collected, and kept with the run where there is one."""

import os
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


ROWS_THAT_ARE_NO_JSON = [Path("here"), {1, 2}, {"epoch": 1, "model": object()}, np.array([object()]), {(1, 2): 3}]


@pytest.mark.parametrize("has_run", [False, True], ids=["only collected", "in a run"])
@pytest.mark.parametrize("row", ROWS_THAT_ARE_NO_JSON, ids=["path", "set", "object", "objects", "keys"])
def test_row_that_is_no_json_is_refused_and_not_kept(tmp_path: Path, row: object, has_run: bool) -> None:
    artifacts = Artifacts()
    if has_run:
        artifacts.keep_in(tmp_path)
    with pytest.raises(UserError, match="a row of artifact 'thing' is not JSON"):
        artifacts.append("thing", row)
    assert artifacts.rows == {} and not list(tmp_path.iterdir())


def test_value_that_is_no_data_is_refused_before_there_is_a_run() -> None:
    artifacts = Artifacts()
    with pytest.raises(UserError, match="neither JSON"):
        artifacts.store("thing", {"model": object()})
    assert artifacts.values == {}


def test_circle_is_refused_in_one_line() -> None:
    circle: list[object] = []
    circle.append(circle)
    for keep in (Artifacts().store, Artifacts().append):
        with pytest.raises(UserError, match="JSON"):
            keep("circle", circle)


def test_numbers_of_numpy_and_torch_in_a_row_are_numbers(tmp_path: Path) -> None:
    import torch

    artifacts = Artifacts()
    artifacts.keep_in(tmp_path)
    artifacts.append("rows", {"loss": torch.tensor(0.5, requires_grad=True), "n": np.int64(3), "all": np.arange(2)})
    artifacts.append("rows", np.float32(0.25))
    expected = [{"loss": 0.5, "n": 3, "all": [0, 1]}, 0.25]
    assert artifacts.rows == {"rows": expected}
    assert read_jsonl(tmp_path / "artifacts" / "rows.jsonl") == [expected[0], {"value": 0.25}]


def test_what_was_kept_does_not_change_with_the_one_in_use() -> None:
    artifacts, row = Artifacts(), {"rewards": [1.0]}
    artifacts.store("row", row)
    artifacts.append("rows", row)
    row["rewards"].append(2.0)
    artifacts.append("rows", row)
    assert artifacts.rows["rows"] == [{"rewards": [1.0]}, {"rewards": [1.0, 2.0]}]
    assert artifacts.values["row"] == {"rewards": [1.0]}


def test_value_of_another_kind_leaves_no_file_of_the_one_before(tmp_path: Path) -> None:
    artifacts = Artifacts()
    artifacts.keep_in(tmp_path)
    artifacts.append("k", 1)
    for value, suffix in ((1, ".json"), ("text", ".txt"), (np.zeros(2), ".npy"), ({"a": 1}, ".json")):
        artifacts.store("k", value)
        assert sorted(path.name for path in (tmp_path / "artifacts").iterdir()) == sorted([f"k{suffix}", "k.jsonl"])


def test_array_of_no_dimension_is_a_number(tmp_path: Path) -> None:
    import torch

    artifacts = Artifacts()
    artifacts.keep_in(tmp_path)
    for name, value in (("numpy", np.float64(0.5)), ("array", np.array(0.5)), ("tensor", torch.tensor(0.5))):
        artifacts.store(name, value)
        assert (tmp_path / "artifacts" / f"{name}.json").read_text() == "0.5\n"
        assert artifacts.values[name] == 0.5


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float8_e5m2"])
def test_short_number_formats_are_kept_in_single_precision(tmp_path: Path, dtype: str) -> None:
    import torch

    artifacts = Artifacts()
    artifacts.keep_in(tmp_path)
    tensor = torch.tensor([0.5, -2.0]).to(getattr(torch, dtype))
    artifacts.store("weights", tensor)
    artifacts.append("rows", {"weights": tensor})
    kept = np.load(tmp_path / "artifacts" / "weights.npy", allow_pickle=False)
    assert kept.dtype == np.float32 and kept.tolist() == [0.5, -2.0]
    assert artifacts.rows == {"rows": [{"weights": [0.5, -2.0]}]}


def test_bfloat16_as_jax_has_it_is_kept_in_single_precision(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")  # where JAX has its formats from; JAX itself would start threads here
    artifacts = Artifacts()
    artifacts.keep_in(tmp_path)
    artifacts.store("weights", np.array([0.5, -2.0], dtype=ml_dtypes.bfloat16))
    assert np.load(tmp_path / "artifacts" / "weights.npy", allow_pickle=False).tolist() == [0.5, -2.0]


def kept(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (folder / "artifacts").iterdir()}


def test_a_resumed_run_goes_on_with_the_rows_that_its_checkpoint_counted(tmp_path: Path) -> None:
    first = Artifacts()
    first.keep_in(tmp_path)
    first.append("rewards", 20.0)
    first.append("games", {"moves": [1, 2]})
    counts = first.counts()
    assert counts == {"rewards": 1, "games": 1}
    first.append("rewards", 30.0)
    first.append("late", 1)

    resumed = Artifacts()
    resumed.restore(tmp_path, counts)
    resumed.keep_in(tmp_path)
    assert resumed.rows == {"rewards": [20.0], "games": [{"moves": [1, 2]}]}
    resumed.append("rewards", 30.0)
    resumed.append("late", 1)
    assert resumed.counts() == first.counts()
    assert read_jsonl(tmp_path / "artifacts" / "rewards.jsonl") == [{"value": 20.0}, {"value": 30.0}]
    assert read_jsonl(tmp_path / "artifacts" / "late.jsonl") == [{"value": 1}]


def test_the_values_of_a_resumed_run_are_there_again(tmp_path: Path) -> None:
    first = Artifacts()
    first.keep_in(tmp_path)
    for name, value in {"text": "größe\r\n", "json": {"a": [1, None]}, "array": np.eye(2)}.items():
        first.store(name, value)
    before = kept(tmp_path)
    resumed = Artifacts()
    resumed.restore(tmp_path, {})
    assert resumed.values["text"] == "größe\r\n" and resumed.values["json"] == {"a": [1, None]}
    assert resumed.values["array"].tolist() == [[1, 0], [0, 1]]
    assert kept(tmp_path) == before


def test_of_two_kinds_that_a_killed_store_left_the_newer_is_the_value(tmp_path: Path) -> None:
    for position, (name, content) in enumerate([("k.txt", b"old"), ("k.json", b"1")]):
        path = tmp_path / "artifacts" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        os.utime(path, (position, position))
    resumed = Artifacts()
    resumed.restore(tmp_path, {})
    assert resumed.values == {"k": 1}


def test_a_run_that_was_killed_before_its_first_checkpoint_writes_everything_anew(tmp_path: Path) -> None:
    def begin() -> Artifacts:
        artifacts = Artifacts()
        artifacts.store("note", "hello")
        artifacts.append("rewards", 1)
        return artifacts

    first = begin()
    first.keep_in(tmp_path)
    first.append("rewards", 2)
    resumed = begin()
    resumed.restore(tmp_path, {})
    assert resumed.rows == {"rewards": [1]} and resumed.values == {"note": "hello"}
    assert kept(tmp_path) == {"note.txt": b"hello", "rewards.jsonl": b'{"value": 1}\n'}


def test_a_file_of_somebody_else_is_left_alone_by_a_resumed_run(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    for name in ("mine.jsonl", ".notes.json", "picture.svg"):
        (tmp_path / "artifacts" / name).write_bytes(b"mine")
    before = kept(tmp_path)
    Artifacts().restore(tmp_path, {})
    assert kept(tmp_path) == before


def test_a_damaged_artifact_is_named(tmp_path: Path) -> None:
    (tmp_path / "artifacts").mkdir()
    for name, content in {"a.json": b"{", "b.npy": b"\x80\x04pickle", "c.txt": b"\xff"}.items():
        path = tmp_path / "artifacts" / name
        path.write_bytes(content)
        with pytest.raises(UserError, match=f"{name} is damaged"):
            Artifacts().restore(tmp_path, {})
        path.unlink()


def test_a_checkpoint_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "steps.jsonl").write_bytes(b'{"step": 1}\n')
    with pytest.raises(UserError, match="names a file"):
        Artifacts().restore(tmp_path, {"../steps": 0})
    assert (tmp_path / "steps.jsonl").read_bytes() == b'{"step": 1}\n'


def test_rows_are_synced_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    artifacts, synced = Artifacts(), list[Path]()
    artifacts.keep_in(tmp_path)
    monkeypatch.setattr("labwright.runs.artifacts.sync_file", synced.append)
    artifacts.append("rewards", 1)
    artifacts.sync()
    artifacts.sync()
    assert synced == [tmp_path / "artifacts" / "rewards.jsonl"]
