import io
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.runs.directory import RunDirectory
from labwright.runs.lock import RunLock
from tests.conftest import Ended
from tests.written_runs import write_run

RunCommand = Callable[..., Ended]


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    found = write_run(tmp_path / "results", "aaaa")
    (found.path / "checkpoints").mkdir()
    (found.path / "checkpoints" / "step_1.safetensors").write_bytes(b"x" * 5000)
    return found


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_deleted_runs_are_gone_and_the_others_stay(command_line: RunCommand, tmp_path: Path, run: RunDirectory) -> None:
    other = write_run(tmp_path / "results", "bbbb")
    ended = command_line("delete", "aaaa", "--yes")
    lines = ended.out.splitlines()
    assert lines[1].startswith("2026-01-31_12-00-00_aaaa  digits      finished")
    assert lines[-1].startswith("deleted 1 run, 6")
    assert not run.path.exists()
    assert command_line("runs", "--columns=id").out.splitlines()[1:] == [other.path.name]


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("", 1)])
def test_a_terminal_is_asked_first(
    command_line: RunCommand, run: RunDirectory, monkeypatch: pytest.MonkeyPatch, answer: str, code: int
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    ended = command_line("delete", "aaaa")
    assert (ended.code, run.path.exists()) == (code, code == 1)
    assert ended.err.startswith("Delete 1 run, 6")


def test_nobody_to_ask_deletes_nothing(
    command_line: RunCommand, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert command_line("delete", "aaaa").error.endswith("There is no terminal to ask at: add --yes")
    assert run.path.is_dir()


def test_running_run_is_refused_with_all_that_were_named(
    command_line: RunCommand, tmp_path: Path, run: RunDirectory
) -> None:
    other = write_run(tmp_path / "results", "bbbb", status="running")
    with RunLock.take(other.path):
        assert command_line("delete", "aaaa", "bbbb", "--yes").error == f"{other.path.name} is running; stop it first"
    assert run.path.is_dir()


def test_run_elsewhere_is_refused(command_line: RunCommand, tmp_path: Path, run: RunDirectory) -> None:
    outside = write_run(tmp_path / "outside", "bbbb")
    error = command_line("delete", str(outside.path), "--yes").error
    assert error.startswith(f"{outside.path} is not in {tmp_path / 'results'};")
    through = tmp_path / "results" / "digits" / ".." / ".." / "outside" / "digits" / outside.path.name
    assert "is not in" in command_line("delete", str(through), "--yes").error
    assert outside.path.is_dir()


def test_folder_that_holds_runs_is_no_run_to_delete(
    command_line: RunCommand, tmp_path: Path, run: RunDirectory
) -> None:
    experiment = run.path.parent
    (experiment / "run.json").write_bytes(run.record_path.read_bytes())
    assert "is not named like a run" in command_line("delete", str(experiment), "--yes").error
    assert run.path.is_dir()


def test_link_is_removed_and_not_followed(command_line: RunCommand, tmp_path: Path, run: RunDirectory) -> None:
    outside = write_run(tmp_path / "outside", "bbbb")
    link = run.path.with_name(outside.path.name)
    link.symlink_to(outside.path)
    (run.path / "data").symlink_to(outside.path)
    assert command_line("delete", "bbbb", "aaaa", "--yes").code == 0
    assert not link.is_symlink()
    assert not run.path.exists()
    assert outside.record_path.is_file()


def test_damaged_run_can_be_deleted(command_line: RunCommand, run: RunDirectory) -> None:
    run.record_path.unlink()
    assert command_line("delete", "aaaa", "--yes").code == 0
    assert not run.path.exists()


def test_deletion_cut_short_leaves_a_run_that_is_listed(
    command_line: RunCommand, run: RunDirectory, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(path: Path) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("shutil.rmtree", interrupted)
    assert command_line("delete", "aaaa", "--yes").code == 130
    monkeypatch.undo()
    assert run.record_path.is_file()


def test_its_code_is_forgotten_by_git(command_line: RunCommand, tmp_path: Path) -> None:
    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", tmp_path, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    git("init", "--quiet")
    (tmp_path / "code.py").write_text("x = 1\n")
    git("add", "code.py")
    tree = git("write-tree")
    commit = git("-c", "user.name=a", "-c", "user.email=a@b", "commit-tree", tree, "-m", "code")
    run_id, other = "2026-01-31_12-00-00_aaaa", "refs/labwright/2026-01-31_12-00-00_bbbb"
    for ref in (f"refs/labwright/{run_id}", other):
        git("update-ref", ref, commit)
    kept = {"snapshot": commit, "tree": tree, "ref": f"refs/labwright/{run_id}", "repository": str(tmp_path)}
    write_run(tmp_path / "results", "aaaa", git=kept | {"folder": "."})
    assert command_line("delete", "aaaa", "--yes").code == 0
    assert git("for-each-ref", "--format=%(refname)") == other
