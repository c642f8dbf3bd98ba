from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Ended
from tests.written_runs import write_run

RunCommand = Callable[..., Ended]


def test_tags_are_added_removed_and_found(command_line: RunCommand, tmp_path: Path) -> None:
    name = write_run(tmp_path / "results", "aaaa", options={"tags": ["start"]}).path.name
    write_run(tmp_path / "results", "bbbb")
    assert command_line("tag", "aaaa", "good", "paper").out == f"{name}: start, good, paper\n"
    assert command_line("tag", "aaaa", "--remove=start", "--remove=good").out == f"{name}: paper\n"
    assert command_line("tag", "aaaa").out == f"{name}: paper\n"
    assert command_line("runs", "tag==paper", "--columns=id").out.splitlines()[1:] == [name]
    assert command_line("tag", "aaaa", "start", "--remove=paper").out == f"{name}: start\n"
    assert command_line("tag", "aaaa", "--remove=start").out == f"{name}: no tags\n"


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["a,b"], '"a,b" is no tag: a tag is a printable word without commas'),
        (["--remove=x"], 'tag: 2026-01-31_12-00-00_aaaa has no tag "x"; it has: start'),
        (["start", "--remove=start"], "tag: start: to be added and removed; leave one out"),
    ],
)
def test_mistake_is_one_line_and_changes_nothing(
    command_line: RunCommand, tmp_path: Path, words: list[str], error: str
) -> None:
    run = write_run(tmp_path / "results", "aaaa", options={"tags": ["start"]})
    assert command_line("tag", "aaaa", *words).error == error
    assert not (run.path / "notes.json").exists()
