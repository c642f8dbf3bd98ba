"""`batch-find ID`, on handwritten digits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Ended

CommandLine = Callable[..., Ended]
QUICK = ["batch-find", "digits", "--use_cuda=false", "--seconds=0.001", "--smallest_batch=256"]


@pytest.mark.slow
def test_each_size_is_a_row_and_the_answers_stand_below(command_line: CommandLine, tmp_path: Path) -> None:
    ended = command_line(*QUICK)
    assert ended.code == 0, ended.err
    table, _, answers = ended.out.partition("\n\n")
    assert [line.split()[0] for line in table.splitlines()] == ["batch_size", "256", "512", "1024", "1258"]
    assert all(line.endswith("  fits") for line in table.splitlines()[1:])
    assert "largest that fits: --batch_size=1258 (none larger was tried; there are 1,258 samples)" in answers
    assert ended.err.splitlines()[-4:] == ["256: fits", "512: fits", "1024: fits", "1258: fits"]
    [picture] = (tmp_path / "results" / "batch_find").iterdir()
    assert ended.out.endswith(f"picture: {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert command_line("runs").out == ""


@pytest.mark.slow
def test_too_little_memory_for_any_is_exit_code_1(command_line: CommandLine, tmp_path: Path) -> None:
    ended = command_line(*QUICK, "--memory_limit=1MB", "--json", "--output=sizes.svg")
    assert not (tmp_path / "sizes.svg").exists()
    content = json.loads(ended.out)
    assert (ended.code, content["largest"], content["limit_bytes"]) == (1, None, 1_000_000)
    assert [tried["fits"] for tried in content["tried"]] == [False]


@pytest.mark.slow
def test_a_script_reads_json_and_gets_the_picture_that_it_asks_for(command_line: CommandLine, tmp_path: Path) -> None:
    ended = command_line(*QUICK, "--largest_batch=256", "--json", "--output=sizes.svg")
    assert json.loads(ended.out)["largest"] == 256
    assert ended.err.endswith("picture: sizes.svg\n") and (tmp_path / "sizes.svg").is_file()
    assert not (tmp_path / "results").exists()


def test_results_directory_that_cannot_be_written_is_named_with_its_flag(
    command_line: CommandLine, tmp_path: Path
) -> None:
    """lr-find said that the folder above it could not be written, and batch-find too."""
    (tmp_path / "file").touch()
    results = tmp_path / "file" / "results"
    for command in ("lr-find", "batch-find"):
        error = command_line(command, "digits", f"--results_dir={results}").error
        assert f"cannot write to results directory {results}" in error and "--results_dir" in error
