import csv
import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.runs.listing.find import find_run
from labwright.runs.listing.notes import Notes, write_notes
from tests.conftest import RUN_PY, Ended
from tests.written_runs import SGD, write_run

RunCommand = Callable[..., Ended]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three runs: adam, sgd, and one of another experiment that failed."""
    folder = tmp_path / "results"
    write_run(folder, "aaaa", val_loss=[0.5, 0.3], options={"tags": ["base"]})
    write_run(folder, "bbbb", val_loss=[0.2], args={"seed": 1, "optimizer": SGD}, test={"loss": 0.3, "accuracy": 0.8})
    write_run(folder, "cccc", val_loss=[], args={"experiment_id": "trees"}, status="failed")
    return folder


def ids(out: str) -> list[str]:
    """The ends of the ids in a table."""
    return [line.split()[0][-4:] for line in out.splitlines()[1:]]


def test_runs_are_listed_newest_first(command_line: RunCommand, results: Path) -> None:
    ended = command_line("runs")
    assert (ended.code, ended.err) == (0, "")
    assert re.sub("[0-9] s ", "0 s ", ended.out).splitlines() == [
        f"run{' ' * 23}experiment  status    age  epochs  val/loss  test/accuracy  tags  args",
        "2026-01-31_12-00-00_cccc  trees       failed    0 s  0/3",
        "2026-01-31_12-00-00_bbbb  digits      finished  0 s  1/3       0.2000         0.8000        "
        "seed=1 optimizer=sgd learning_rate=0.1",
        "2026-01-31_12-00-00_aaaa  digits      finished  0 s  2/3       0.3000         0.9000  base  "
        "seed=0 optimizer=adam learning_rate=0.001",
    ]


def test_arguments_are_compared_among_the_runs_of_one_experiment(command_line: RunCommand, tmp_path: Path) -> None:
    """All defaults in which two experiments differ were shown in every row."""
    for name, args in {"aaaa": {"seed": 1}, "bbbb": {"seed": 2}}.items():
        write_run(tmp_path / "results", name, args=args)
        write_run(tmp_path / "results", f"{name[:3]}c", args={"experiment_id": "trees", "epochs": 9, "batch_size": 8})
    shown = [line.split()[-1] for line in command_line("runs", "experiment==digits").out.splitlines()[1:]]
    assert shown == ["seed=2", "seed=1"]
    mixed = command_line("runs").out
    assert "epochs=" not in mixed and "batch_size=" not in mixed and "seed=2" in mixed


def test_argument_that_is_new_is_shown_where_older_runs_would_have_had_another_value(
    command_line: RunCommand, tmp_path: Path, points_args: Any
) -> None:
    """Each argument that a newer labwright added was a column, though all older runs had its default."""
    old = {"experiment_id": "points", "seed": 1, "model": {"kind": "mlp"}, "optimizer": {"kind": "sgd"}}
    new = old | {"max_skipped_steps": 0, "optimizer": {"kind": "sgd", "momentum": 0.0}}
    results, experiments = tmp_path / "results", {"points": points_args}
    write_run(results, "aaaa", args=old)
    write_run(results, "bbbb", args=new)
    assert "args" not in command_line("runs", experiments=experiments).out.splitlines()[0]
    write_run(results, "cccc", args=new | {"max_skipped_steps": 2})
    shown = command_line("runs", experiments=experiments).out.splitlines()[1:]
    assert [line.split()[-1] for line in shown] == [f"max_skipped_steps={number}" for number in (2, 0, 0)]
    assert "momentum=0" in command_line("runs").out  # nobody knows the experiment, so nobody knows its defaults


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["val/loss<0.25"], "b"),
        (["val/loss<0.25", "or", "status==failed"], "cb"),
        (["--sort=val/loss"], "bac"),
        (["--sort=-val/loss"], "abc"),
        (["--sort=experiment_id"], "bac"),
        (["--limit=1"], "c"),
        (["--limit=2", "--sort=val/loss"], "ba"),
        (["--tag=base"], "a"),
        (["--experiment=digits"], "ba"),
        (["--experiment=digits", "seed==1"], "b"),
    ],
)
def test_list_is_filtered_sorted_and_cut(
    command_line: RunCommand, results: Path, words: list[str], expected: str
) -> None:
    assert "".join(run_id[-1] for run_id in ids(command_line("runs", *words).out)) == expected


def test_archived_runs_are_shown_when_asked_for(command_line: RunCommand, results: Path) -> None:
    write_notes(find_run("aaaa", results), Notes(archived=True, note="old"))
    ended = command_line("runs")
    assert ids(ended.out) == ["cccc", "bbbb"]
    assert ended.err == "1 archived, shown with --all\n"
    assert ids(command_line("runs", "--all").out) == ["cccc", "bbbb", "aaaa"]
    assert ids(command_line("runs", "--archived").out) == ["aaaa"]


def test_columns_are_those_asked_for(command_line: RunCommand, results: Path) -> None:
    out = command_line("runs", "--columns=id,learning_rate,accuracy,tags,hidden_sizes", "--experiment=digits").out
    assert out.splitlines() == [
        "id                        learning_rate  accuracy  tags  hidden_sizes",
        "2026-01-31_12-00-00_bbbb         0.1000    0.8000        [64]",
        "2026-01-31_12-00-00_aaaa         0.0010    0.7000  base  [64]",
    ]


def test_json_has_everything(command_line: RunCommand, results: Path) -> None:
    first = json.loads(command_line("runs", "--json").out)[-1]
    assert (first["id"], first["status"], first["archived"]) == ("2026-01-31_12-00-00_aaaa", "finished", False)
    assert first["args"]["optimizer.learning_rate"] == 0.001
    assert first["metrics"]["test/accuracy"] == 0.9
    assert Path(first["path"]).is_dir()
    columns = json.loads(command_line("runs", "--json", "--columns=seed,val/loss").out)
    assert columns == [{"seed": 0, "val/loss": None}, {"seed": 1, "val/loss": 0.2}, {"seed": 0, "val/loss": 0.3}]


def test_csv_has_a_column_for_each_metric_and_argument(command_line: RunCommand, results: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(command_line("runs", "--csv").out)))
    assert [row["status"] for row in rows] == ["failed", "finished", "finished"]
    assert [row["val/loss"] for row in rows] == ["", "0.2", "0.3"]
    assert [row["args.model.hidden_sizes"] for row in rows] == ["[64]"] * 3
    assert rows[2]["tags"] == '["base"]'
    assert command_line("runs", "--csv", "--columns=seed,val/loss").out == "seed,val/loss\n0,\n1,0.2\n0,0.3\n"


def test_empty_list_says_where_it_looked_and_how_to_make_a_run(command_line: RunCommand, tmp_path: Path) -> None:
    ended = command_line("runs", "val/loss<1", "--sort=val/loss", "--columns=id")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"no runs in {tmp_path / 'results'}; make one: python run.py --experiment_id=ID\n"
    assert command_line("runs", "--json").out == "[]\n"
    assert not (tmp_path / "results").exists()


def test_filter_that_fits_nothing_says_so(command_line: RunCommand, results: Path) -> None:
    ended = command_line("runs", "seed==7")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err == f"none of the 3 runs in {results} fits\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["val/los<1"], 'no run has "val/los"; did you mean val/loss?'),
        (["--sort=-val/los"], 'no run has "val/los"; did you mean val/loss?'),
        (["--columns=id,sed"], 'no run has "sed"; did you mean seed?'),
        (["seed=="], 'filter: expected a value, such as 0.9, true or "mlp", at its end'),
        (["--limit=-1"], "--limit: -1 is negative; 0 shows all"),
        (["--limit=x"], "runs: argument --limit: invalid int value: 'x'; see run.py runs --help"),
    ],
)
def test_mistake_is_one_line(command_line: RunCommand, results: Path, words: list[str], error: str) -> None:
    assert command_line("runs", *words).error == error


def test_damaged_runs_are_listed(command_line: RunCommand, results: Path) -> None:
    find_run("aaaa", results).record_path.write_text("{")
    row = next(line for line in command_line("runs").out.splitlines() if "_aaaa" in line)
    assert "damaged" in row


def test_text_cannot_move_the_cursor(command_line: RunCommand, results: Path) -> None:
    write_notes(find_run("aaaa", results), Notes(note="\x1b[2Jgone\nnew line"))
    out = command_line("runs").out
    assert "\\x1b[2Jgone\\nnew line" in out
    assert len(out.splitlines()) == 4


def test_list_fits_the_terminal(results: Path) -> None:
    for number in range(50):
        write_run(results, f"{number:04x}", val_loss=[0.5], args={"seed": number, "model": {"kind": "x" * 80}})
    lines = at_a_terminal(results, "runs", f"--results_dir={results}", columns=70)
    assert lines[0].split() == ["run", "experiment", "status", "age", "epochs", "val/loss"]
    assert max(map(len, lines)) <= 70
    assert lines[-1] == "40 of 53 runs; --limit=0 shows all"
    assert len(lines) == 42


def at_a_terminal(folder: Path, *words: str, columns: int) -> list[str]:
    """What `run.py WORDS` shows on a terminal so wide."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": str(columns)}
    with subprocess.Popen(
        [sys.executable, str(RUN_PY), *words], cwd=folder, env=environment, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while part := os.read(ours, 65536):
                shown += part
        except OSError:  # the other side is closed
            pass
        os.close(ours)
    assert process.returncode == 0
    return shown.decode().splitlines()
