import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from labwright.runs.directory import RunDirectory

SHOW_CALL = "import json, os, sys; print(json.dumps([os.getcwd(), sys.argv[1:]]))"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project directory with a name that needs quotes, and a run.py that prints how it was called."""
    project = tmp_path / "my 'own' $project"
    project.mkdir()
    (project / "run.py").write_text(SHOW_CALL)
    return project


def make_run(results: Path, project: Path, flags: Sequence[str] = (), typed: Sequence[str] = ()) -> RunDirectory:
    run = RunDirectory.create(results, "mnist")
    run.write_args({"experiment_id": "mnist"})
    run.write_command([sys.executable, "run.py"], cwd=project, flags=flags, typed=typed)
    return run


def call(script: Path, *arguments: str, cwd: Path) -> tuple[Path, list[str]]:
    output = subprocess.run([script, *arguments], cwd=cwd, capture_output=True, text=True, check=True).stdout
    directory, argv = json.loads(output)
    return Path(directory), argv


def test_the_script_runs_in_the_project_from_any_directory(tmp_path: Path, project: Path) -> None:
    flags = ["--use_cuda=false", "--run_name=it's; $HOME `ls` *\nnext"]
    run = make_run(tmp_path / "my results", project, flags)
    for cwd in (Path("/"), run.path):
        assert call(run.command_path, cwd=cwd) == (project, [f"--config={run.args_path}", *flags])


def test_the_script_finds_its_arguments_after_the_run_was_moved(tmp_path: Path, project: Path) -> None:
    run = make_run(tmp_path / "results", project)
    moved = Path(shutil.move(run.path, tmp_path / "a kept run"))
    assert call(moved / "command.sh", cwd=moved) == (project, [f"--config={moved / 'args.yaml'}"])


def test_flags_given_to_the_script_are_added(tmp_path: Path, project: Path) -> None:
    run = make_run(tmp_path / "results", project)
    assert call(run.command_path, "--seed=2", "--tags=a b", cwd=tmp_path)[1][1:] == ["--seed=2", "--tags=a b"]


def test_a_missing_project_stops_the_script(tmp_path: Path, project: Path) -> None:
    run = make_run(tmp_path / "results", project)
    shutil.rmtree(project)
    result = subprocess.run([run.command_path], capture_output=True, text=True)
    assert result.returncode != 0
    assert result.stdout == ""


def test_what_was_typed_never_leaves_its_comment(tmp_path: Path, project: Path) -> None:
    typed = ["run.py", "--run_name=a\ntouch escaped\r\ntouch escaped\u2028", "--hidden_sizes=[64]"]
    run = make_run(tmp_path / "results", project, typed=typed)
    comment = run.command_path.read_text().splitlines()[2]
    assert comment == r"#   run.py '--run_name=a\ntouch escaped\r\ntouch escaped\u2028' '--hidden_sizes=[64]'"
    call(run.command_path, cwd=tmp_path)
    assert not list(tmp_path.rglob("escaped"))


def test_secrets_are_masked_in_flags_and_in_what_was_typed(tmp_path: Path, project: Path) -> None:
    run = RunDirectory.create(tmp_path, "mnist")
    run.write_command(
        [sys.executable, "run.py"],
        cwd=project,
        flags=["--note=see hunter22"],
        typed=["run.py", "--wandb_api_key", "other-secret", "--note=hunter22"],
        secrets=["hunter22"],
    )
    script = run.command_path.read_text()
    assert "hunter22" not in script
    assert "other-secret" not in script
