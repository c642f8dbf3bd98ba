"""`compare RUN RUN ...`: tables, CSV, JSON and a picture."""

import csv
import io
import json
from collections.abc import Callable
from math import nan
from pathlib import Path

import pytest

from ..conftest import Ended
from ..written_runs import SGD, write_run

CommandLine = Callable[..., Ended]


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Three seeds with Adam, one of which did not end, and one run with SGD that diverged."""
    results = tmp_path / "results"
    write_run(results, "aaaa", val_loss=[0.5, 0.25])
    write_run(results, "bbbb", args={"seed": 1}, val_loss=[0.6, 0.35])
    write_run(results, "cccc", args={"seed": 2}, val_loss=[0.7], status="interrupted")
    write_run(results, "dddd", args={"optimizer": SGD}, val_loss=[0.9, nan], test={"loss": nan})
    return results


def test_runs_and_groups_of_seeds_are_shown_and_drawn(command_line: CommandLine, results: Path) -> None:
    ended = command_line("compare", "aaaa", "bbbb", "cccc", "dddd")
    assert ended.code == 0, ended.err
    lines = [line.rstrip() for line in ended.out.splitlines()]
    assert [line.split() for line in lines[:5]] == [
        "run status seed optimizer learning_rate best val/loss last val/loss test/loss test/accuracy".split(),
        "2026-01-31_12-00-00_aaaa finished 0 adam 0.001 0.2500 0.2500 0.3500 0.9000".split(),
        "2026-01-31_12-00-00_bbbb finished 1 adam 0.001 0.3500 0.3500 0.3500 0.9000".split(),
        "2026-01-31_12-00-00_cccc interrupted 2 adam 0.001 0.7000 0.7000".split(),
        "2026-01-31_12-00-00_dddd finished 0 sgd 0.1 0.9000 NaN NaN".split(),
    ]
    losses, test = "0.3000 ± 0.0707 0.3000 ± 0.0707", "0.3500 ± 0.0000 0.9000 ± 0.0000"
    assert lines[7].split() == f"3 (2 finished) adam 0.001 {losses} {test} aaaa bbbb cccc".split()
    assert lines[8].split() == "1 sgd 0.1 0.9000 dddd".split()
    assert lines[9] == "mean ± standard deviation (n - 1) over the finished runs; those of a row differ only in seed"
    picture = Path(lines[10].removeprefix("picture: "))
    assert picture.parent == results / "comparisons"
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_same_comparison_has_the_same_picture_and_another_has_another(
    command_line: CommandLine, results: Path
) -> None:
    for words in (["aaaa", "bbbb"], ["aaaa", "bbbb"], ["aaaa", "bbbb", "--group"]):
        assert command_line("compare", *words, "--metric=loss").code == 0
    assert len([*(results / "comparisons").iterdir()]) == 2


@pytest.mark.usefixtures("results")
def test_a_script_reads_json_and_gets_no_picture(command_line: CommandLine, results: Path) -> None:
    ended = command_line("compare", "aaaa", "dddd", "--json", "--metric=val/loss")
    content = json.loads(ended.out)
    assert content["differing"] == ["optimizer.kind", "optimizer.learning_rate"]
    assert content["runs"][1]["args"] == {"optimizer.kind": "sgd", "optimizer.learning_rate": 0.1}
    assert content["runs"][1]["metrics"] == {"best val/loss": 0.9, "last val/loss": None, "test/loss": None}
    assert [group["metrics"]["best val/loss"] for group in content["groups"]] == [
        {"mean": 0.25, "deviation": None, "num_values": 1},
        {"mean": 0.9, "deviation": None, "num_values": 1},
    ]
    assert not (results / "comparisons").exists()


@pytest.mark.usefixtures("results")
def test_csv_has_a_row_for_each_run_or_group_and_the_picture_asked_for(
    command_line: CommandLine, tmp_path: Path
) -> None:
    ended = command_line("compare", "experiment_id==digits", "--csv", "--metric=loss", "--output=a.svg")
    rows = [*csv.DictReader(io.StringIO(ended.out))]
    assert [row["last val/loss"] for row in rows] == ["0.25", "0.35", "0.7", "nan"]
    assert (tmp_path / "a.svg").is_file()
    assert ended.err == "picture: a.svg\n"
    ended = command_line("compare", "aaaa", "bbbb", "dddd", "--csv", "--group", "--metric=loss")
    rows = [*csv.DictReader(io.StringIO(ended.out))]
    assert [(row["runs"], row["best val/loss mean"], row["best val/loss n"]) for row in rows] == [
        ("2", "0.3", "2"),
        ("1", "0.9", "1"),
    ]


@pytest.mark.usefixtures("results")
@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["aaaa"], "compare needs two runs or more; given: 2026-01-31_12-00-00_aaaa"),
        (["aaaa", "aaaa"], "compare needs two runs or more; given: 2026-01-31_12-00-00_aaaa"),
        (
            ["aaaa", "bbbb", "--output=a.txt"],
            "--output=a.txt: must be a .png, .pdf, .svg file in a folder that is there",
        ),
        (["aaaa", "bbbb", "--metric=f1"], 'none of these runs has "val/f1"'),
    ],
)
def test_what_cannot_be_compared_is_one_line(command_line: CommandLine, words: list[str], error: str) -> None:
    assert error in command_line("compare", *words).error


def test_runs_with_equal_arguments_are_said_to_be_so(command_line: CommandLine, tmp_path: Path) -> None:
    for run_id in ("aaaa", "bbbb"):
        write_run(tmp_path / "results", run_id)
    ended = command_line("compare", "aaaa", "bbbb", "--metric=loss")
    assert "the arguments of these runs are the same" in ended.err
    assert "0.3000 ± 0.0000" in ended.out
