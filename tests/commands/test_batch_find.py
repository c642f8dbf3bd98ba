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
    assert not (tmp_path / "results").exists()


@pytest.mark.slow
def test_too_little_memory_for_any_is_exit_code_1(command_line: CommandLine) -> None:
    ended = command_line(*QUICK, "--memory_limit=1MB", "--json")
    content = json.loads(ended.out)
    assert (ended.code, content["largest"], content["limit_bytes"]) == (1, None, 1_000_000)
    assert [tried["fits"] for tried in content["tried"]] == [False]
