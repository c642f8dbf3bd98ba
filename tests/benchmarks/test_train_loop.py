"""The benchmark of training: what it makes of its measurements, and that its own rows do their work."""

import importlib
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
TRAIN_LOOP: dict[str, Any] = runpy.run_path(str(BENCHMARKS / "train_loop.py"))


def report(seconds: float, accuracy: float = 0.9) -> dict[str, Any]:
    """Of three epochs, the first of which took a minute."""
    marks = [0.0, 60.0, 60.0 + seconds, 60.0 + 2 * seconds]
    return {"cpu": marks, "wall": marks, "epochs": [{"val_accuracy": accuracy}]}


def measured(**rows: float) -> dict[str, list[dict[str, Any]]]:
    return {row: [report(seconds) for _ in range(3)] for row, seconds in rows.items()}


def test_the_first_epoch_does_not_count() -> None:
    assert TRAIN_LOOP["_seconds"](report(0.5)) == 0.5


def test_the_table_begins_with_the_cheapest_row() -> None:
    lines = TRAIN_LOOP["_table"]("Workload", measured(bare=1.0, with_labwright=0.8)).splitlines()
    assert lines[2] == "| labwright | 0.800 | 0.800 | 0.900 | 0.80 |"
    assert lines[3] == "| bare loop | 1.000 | 1.000 | 0.900 | 1.00 |"


def test_labwright_within_its_limits_and_cheaper_than_peers_is_as_promised() -> None:
    assert TRAIN_LOOP["_failures"]("tiny", measured(bare=1.0, bare_fused=0.8, with_labwright=0.81, with_keras=2)) == []


def test_each_broken_promise_is_named() -> None:
    rows = measured(bare=1.0, bare_fused=0.8, with_labwright=0.95, with_ignite=0.9)
    assert TRAIN_LOOP["_failures"]("tiny", rows) == [
        "tiny: 0.950 of bare loop, and 0.9 is the limit",
        "tiny: 1.187 of bare loop, fused Adam, and 1.03 is the limit",
        "tiny: Ignite costs 0.947 of labwright",
    ]


def test_a_row_that_learns_less_has_not_done_its_work() -> None:
    rows = measured(with_labwright=0.8) | {"bare": [report(1.0, accuracy=0.1)] * 3}
    assert TRAIN_LOOP["_failures"]("tiny", rows) == ["tiny: bare loop does not come to the accuracy of labwright"]


def test_a_framework_that_is_not_installed_is_left_out_with_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    TRAIN_LOOP["ROWS"]["with_nothing"] = TRAIN_LOOP["Row"]("Nothing", "nothing-at-all", "nothing_at_all")
    assert TRAIN_LOOP["_installed"](["bare", "with_nothing"]) == ["bare"]
    assert capsys.readouterr().err == "nothing-at-all is not installed: left out\n"


@pytest.mark.slow
def test_its_own_rows_are_measured_and_drawn(
    benchmark: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    sizes = ["--samples=200", "--rounds=1", "--epochs=2", "--threads=1", "--workloads=cnn"]
    files = [f"--chart={tmp_path / 'chart.png'}", f"--json={tmp_path / 'measured.json'}"]
    ended = benchmark("train_loop.py", "--rows=bare,with_labwright", *sizes, *files)
    assert ended.returncode in (0, 1), ended.stderr
    assert "ended with" not in ended.stderr
    assert "| labwright |" in ended.stdout
    assert (tmp_path / "chart.png").stat().st_size > 10_000
    found = json.loads((tmp_path / "measured.json").read_text())["measured"]
    assert len(found["cnn"]["with_labwright"][0]["epochs"]) == 2
    assert benchmark("train_loop.py", "--saved", str(tmp_path / "measured.json")).stdout == ended.stdout


@pytest.mark.slow
@pytest.mark.parametrize("row", ["bare_fused", "bare_dataloader", "with_labwright"])
def test_each_row_comes_to_what_the_bare_loop_does(row: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS / "loops")
    monkeypatch.chdir(tmp_path)
    work = importlib.import_module("work")
    found: list[Any] = []
    for name in ("bare", row):
        clock = work.Clock()
        found.append(importlib.import_module(name).train(work.Work("tiny", 1280, 2), clock)[-1])
        assert len(clock.cpu) == 3
    for name in ("work", "bare", "bare_dataloader", row):
        sys.modules.pop(name, None)
    assert found[1] == pytest.approx(found[0], abs=0.15)
    assert found[1].loss == pytest.approx(found[0].loss, abs=0.05)
