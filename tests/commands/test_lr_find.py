"""`lr-find ID`, on handwritten digits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Ended

CommandLine = Callable[..., Ended]


@pytest.mark.slow
def test_a_rate_is_suggested_and_the_picture_is_beside_the_runs(command_line: CommandLine, tmp_path: Path) -> None:
    ended = command_line("lr-find", "digits", "--use_cuda=false")
    assert ended.code == 0, ended.err
    table, _, answers = ended.out.partition("\n\n")
    assert table.splitlines()[0].split() == ["learning", "rate", "loss", "of", "the", "step"]
    assert len(table.splitlines()) == 13
    assert answers.startswith("the loss explodes at ")
    [line] = [line for line in answers.splitlines() if line.startswith("to try: --optimizer.learning_rate=")]
    assert 1e-3 < float(line.rpartition("=")[2]) < 0.1
    [picture] = (tmp_path / "results" / "lr_find").iterdir()
    assert ended.out.endswith(f"picture: {picture}\n")
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert command_line("runs").out.splitlines()[1:] == []


@pytest.mark.slow
def test_a_script_reads_json_and_gets_the_picture_that_it_asks_for(command_line: CommandLine, tmp_path: Path) -> None:
    words = ["lr-find", "digits", "--use_cuda=false", "--json", "--highest_rate=1e-6", "--sweep_steps=20"]
    content = json.loads(command_line(*words).out)
    assert (content["steepest"], content["is_diverged"], content["flag"]) == (None, False, "--optimizer.learning_rate")
    assert len(content["rates"]) == len(content["losses"]) == 20
    assert not (tmp_path / "results").exists()
    ended = command_line(*words, "--output=rates.svg")
    assert json.loads(ended.out) == content
    assert ended.err.endswith("picture: rates.svg\n") and (tmp_path / "rates.svg").is_file()
    assert "no suggestion: the loss does not fall" in command_line(*[word for word in words if word != "--json"]).out
