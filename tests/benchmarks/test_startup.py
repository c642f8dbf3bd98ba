"""The benchmark of starting: the lab that it makes trains there, by hand and with labwright."""

import runpy
from pathlib import Path
from typing import Any

import pytest

STARTUP: dict[str, Any] = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "startup.py"))


@pytest.mark.slow
def test_both_ways_train_on_the_images_that_it_writes(tmp_path: Path, with_snapshots: None) -> None:
    STARTUP["write_lab"](tmp_path, 300)
    spent = {name: STARTUP["cpu_seconds"](words, tmp_path) for name, words in STARTUP["_whole_runs"]().items()}
    assert min(spent.values()) > 0
    [run] = (tmp_path / "results" / "mnist").iterdir()
    assert (run / "history.png").is_file()
    assert (tmp_path / "model.pt").is_file()


@pytest.mark.slow
def test_to_the_first_step_there_is_a_run_without_an_epoch(tmp_path: Path) -> None:
    STARTUP["write_lab"](tmp_path, 300)
    words = STARTUP["_first_steps"]()
    STARTUP["cpu_seconds"](words["labwright, all defaults"], tmp_path)
    [run] = (tmp_path / "results" / "first_step").iterdir()
    assert not (run / "history.jsonl").is_file() or (run / "history.jsonl").stat().st_size == 0
    STARTUP["cpu_seconds"](words["script, SGD by hand"], tmp_path)
    assert not (tmp_path / "model.pt").exists()


def test_a_command_that_fails_says_what_it_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="ended with 3:\nno"):
        STARTUP["cpu_seconds"](["sh", "-c", "echo no >&2; exit 3"], tmp_path)
