"""`checkout RUN [DIR]`: the code of a run, uncommitted and untracked files included."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.runs import RunDirectory
from labwright.runs.code.snapshot import take_snapshot

from ..conftest import Ended
from ..repositories import forget_settings, git, new_repository

CommandLine = Callable[..., Ended]


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    forget_settings(monkeypatch, tmp_path)
    return new_repository(tmp_path / "my lab", {"part/run.py": "print(1)\n", ".gitignore": "config.yaml\n"})


@pytest.fixture
def run(repository: Path, tmp_path: Path) -> RunDirectory:
    """A run of changed and untracked code."""
    (repository / "part" / "run.py").write_text("print(2)\n")
    (repository / "part" / "new.py").write_text("new")
    (repository / ".env").write_text("KEY=hunter2")
    made = RunDirectory.create(tmp_path / "results", "digits")
    snapshot = take_snapshot(repository / "part", made.path.name)
    assert snapshot is not None
    machine = {"cache_dir": "/data/cache", "results_dir": str(tmp_path / "results")}
    record: dict[str, Any] = {"status": "finished", "experiment_id": "digits", "flags": ["--cache_dir=/my data"]}
    made.write_args({"experiment_id": "digits"})
    made.record_path.write_text(json.dumps({**record, "machine": machine, "git": snapshot.to_json()}))
    return made


def test_the_code_stands_beside_the_repository_and_two_commands_repeat_the_run(
    command_line: CommandLine, run: RunDirectory, repository: Path, tmp_path: Path
) -> None:
    git(repository, "add", ".")
    git(repository, "commit", "--message=moved on")
    ended = command_line("checkout", run.path.name[-4:])
    target = tmp_path / f"my lab-{run.path.name}"
    assert (ended.code, ended.out) == (0, f"{target}\n")
    assert (target / "part" / "run.py").read_text() == "print(2)\n"
    assert (target / "part" / "new.py").read_text() == "new"
    assert not (target / ".env").exists()
    assert ended.err.splitlines() == [
        "note: .env: may hold a secret",
        "To repeat the run with this code:",
        f"  cd '{target}/part'",
        f"  python run.py --config={run.args_path} '--cache_dir=/my data' --results_dir={tmp_path / 'results'}",
    ]


def test_a_folder_of_ones_choice_is_taken_if_it_is_empty(
    command_line: CommandLine, run: RunDirectory, tmp_path: Path
) -> None:
    assert command_line("checkout", str(run.path), "again").out == f"{tmp_path / 'again'}\n"
    assert command_line("checkout", str(run.path), "again").error == (
        f"{tmp_path / 'again'} is not empty; name another folder"
    )


def test_a_run_and_a_repository_that_moved_are_found(
    command_line: CommandLine, run: RunDirectory, repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moved = run.path.rename(tmp_path / "größe und name")
    assert command_line("checkout", str(moved), "one").code == 0
    git(repository, "worktree", "remove", "--force", str(tmp_path / "one"))
    elsewhere = repository.rename(tmp_path / "elsewhere")
    assert "if the repository moved, do this inside it" in command_line("checkout", str(moved), "two").error
    monkeypatch.chdir(elsewhere / "part")
    assert command_line("checkout", str(moved)).out == f"{tmp_path}/elsewhere-größe und name\n"


def test_a_run_whose_code_was_not_kept_says_so(command_line: CommandLine, run: RunDirectory) -> None:
    run.record_path.write_text(json.dumps({"status": "finished", "git": None}))
    assert "its code was not kept" in command_line("checkout", str(run.path)).error
