"""`bench ID`, on handwritten digits."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.session.tools import tax

from ..conftest import Ended

CommandLine = Callable[..., Ended]
WORDS = ["bench", "digits", "--use_cuda=false", "--seconds=0.001"]


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tax, "_SECONDS", 0.001)


@pytest.mark.slow
def test_the_rows_are_the_bare_loop_labwright_and_its_extras(command_line: CommandLine, tmp_path: Path) -> None:
    ended = command_line(*WORDS)
    assert ended.code == 0, ended.err
    table, _, answer = ended.out.partition("\n\n")
    assert [line[:11].strip() for line in table.splitlines()] == ["", "bare loop", "labwright", "+ accuracy"]
    assert "times the CPU time of the bare loop: the loop itself " in answer
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_a_script_reads_json(command_line: CommandLine) -> None:
    content = json.loads(command_line(*WORDS, "--json", "--batch_size=64").out)
    assert (content["experiment_id"], content["batch_size"], content["num_rounds"]) == ("digits", 64, 5)
    assert content["rows"][0]["ratio"] == 1.0
