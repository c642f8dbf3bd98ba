"""`diff A [B]`: what differs, on one screen or as JSON."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.runs.code.snapshot import take_snapshot
from labwright.runs.provenance import host, versions

from ..conftest import Ended
from ..repositories import forget_settings, new_repository
from ..written_runs import write_run

CommandLine = Callable[..., Ended]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the command line, with a run of its code and one of other arguments."""
    forget_settings(monkeypatch, tmp_path)
    repository = new_repository(tmp_path, {"model.py": "width = 1\n", "pyproject.toml": "", ".gitignore": "results\n"})
    for run_id, seed in (("aaaa", 0), ("bbbb", 1)):
        snapshot = take_snapshot(repository, run_id)
        assert snapshot is not None
        args, code = {"seed": seed}, snapshot.to_json()
        write_run(repository / "results", run_id, args=args, git=code, versions=versions(), host=host())
    return repository


@pytest.mark.usefixtures("repository")
def test_differences_of_two_runs_on_one_screen(command_line: CommandLine) -> None:
    ended = command_line("diff", "aaaa", "bbbb")
    assert ended.code == 0
    assert ended.out.splitlines()[2:] == [
        "arguments",
        "  seed  0  ->  1",
        "",
        "same code, same environment, same data, same results",
    ]


@pytest.mark.usefixtures("repository")
def test_the_exit_code_tells_only_if_asked_to(command_line: CommandLine) -> None:
    assert command_line("diff", "aaaa", "bbbb", "--exit-code").code == 1
    assert command_line("diff", "aaaa", "aaaa", "--exit-code").code == 0


def test_a_run_and_the_code_as_it_is_now(command_line: CommandLine, repository: Path) -> None:
    assert command_line("diff", "aaaa").out.splitlines()[2] == "no difference: same code, same environment"
    (repository / "model.py").write_text("width = 2\n")
    assert "model.py | 2 +-" in command_line("diff", "aaaa").out
    assert "+width = 2" in command_line("diff", "aaaa", "--patch").out


@pytest.mark.usefixtures("repository")
def test_a_script_reads_json(command_line: CommandLine) -> None:
    content = json.loads(command_line("diff", "aaaa", "bbbb", "--json").out)
    assert content["same"] is False
    assert content["code"] == {"is_same": True, "reason": "same code", "text": ""}
    assert [(each["name"], each["a"], each["b"]) for each in content["arguments"]] == [("seed", 0, 1)]


@pytest.mark.usefixtures("repository")
def test_an_unknown_run_is_one_line(command_line: CommandLine) -> None:
    assert 'no run "zzzz"' in command_line("diff", "aaaa", "zzzz").error
