import csv
import io
import math
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Ended
from tests.written_runs import write_run

RunCommand = Callable[..., Ended]


def test_histories_are_one_table(command_line: RunCommand, tmp_path: Path) -> None:
    write_run(tmp_path / "results", "aaaa", val_loss=[0.5, math.nan])
    write_run(tmp_path / "results", "bbbb", val_loss=[0.25])
    out = command_line("export", "aaaa", "bbbb").out
    assert out.splitlines()[0] == "run,epoch,step,split,learning_rate,loss,accuracy"
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [(row["run"][-4:], row["epoch"], row["split"], row["loss"]) for row in rows] == [
        ("aaaa", "1", "train", "0.45"),
        ("aaaa", "1", "val", "0.5"),
        ("aaaa", "2", "train", "nan"),
        ("aaaa", "2", "val", "nan"),
        ("bbbb", "1", "train", "0.225"),
        ("bbbb", "1", "val", "0.25"),
    ]
    assert [row["accuracy"] for row in rows] == ["", "0.5", "", "nan", "", "0.75"]


def test_export_to_a_file_replaces_it(command_line: RunCommand, tmp_path: Path) -> None:
    write_run(tmp_path / "results", "aaaa")
    path = tmp_path / "table.csv"
    path.write_text("old")
    assert command_line("export", "last", f"--output={path}").out == f"{path}: 6 rows\n"
    assert path.read_text() == command_line("export", "last").out


def test_mistakes_are_one_line(command_line: RunCommand, tmp_path: Path) -> None:
    run = write_run(tmp_path / "results", "aaaa")
    assert command_line("export", "last", "--output=nowhere/x.csv").error == (
        "nowhere/x.csv cannot be written: No such file or directory"
    )
    run.history_path.write_text("x\n")
    assert command_line("export", "aaaa").error.startswith(f"{run.history_path} is damaged (")
