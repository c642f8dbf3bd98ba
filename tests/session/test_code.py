"""What is said of code that is, or is not, that of an earlier run."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.args import RunOptions
from labwright.session import Launch

Make = Callable[..., Any]
QUICK = {"predictions": "none"}


@pytest.fixture
def launch(tmp_path: Path, with_snapshots: None) -> Launch:
    """A start in a repository with one file of code."""
    folder = tmp_path / "lab"
    folder.mkdir()
    (folder / "model.py").write_text("LAYERS = 2\n")
    subprocess.run(["git", "init", "-q", str(folder)], check=True)
    return Launch(cwd=folder)


def test_same_code_args_and_data_are_not_trained_again(make: Make, launch: Launch) -> None:
    first = make().run(RunOptions(**QUICK), launch=launch)
    second = make().run(RunOptions(skip_existing=True, **QUICK), launch=launch)
    assert second.run_dir == first.run_dir and second.to_json() == first.to_json()


@pytest.mark.parametrize("options", [{}, {"skip_existing": True, "force": True}])
def test_they_are_where_that_was_not_asked_for(make: Make, launch: Launch, options: dict[str, Any]) -> None:
    first = make().run(RunOptions(**QUICK), launch=launch)
    assert make().run(RunOptions(**options, **QUICK), launch=launch).run_dir != first.run_dir


def test_changed_code_is_trained_again(make: Make, launch: Launch) -> None:
    first = make().run(RunOptions(**QUICK), launch=launch)
    (launch.cwd / "model.py").write_text("LAYERS = 3\n")
    assert make().run(RunOptions(skip_existing=True, **QUICK), launch=launch).run_dir != first.run_dir


def test_changed_arguments_are_trained_again(make: Make, launch: Launch) -> None:
    first = make().run(RunOptions(**QUICK), launch=launch)
    assert make(seed=1).run(RunOptions(skip_existing=True, **QUICK), launch=launch).run_dir != first.run_dir


def test_code_that_was_not_kept_is_no_proof(make: Make, launch: Launch) -> None:
    first = make().run(RunOptions(snapshot=False, **QUICK), launch=launch)
    assert make().run(RunOptions(skip_existing=True, **QUICK), launch=launch).run_dir != first.run_dir


def test_testing_warns_of_code_that_has_changed_since_the_training(make: Make, launch: Launch) -> None:
    trained = make().run(RunOptions(**QUICK), launch=launch)
    (launch.cwd / "model.py").write_text("LAYERS = 3\n")
    tested = make(from_checkpoint=str(trained.run_dir)).run(RunOptions(mode="test", **QUICK), launch=launch)
    assert tested.warnings == [f"the code has changed since {trained.run_dir.name} was trained: model.py"]


def test_force_alone_is_refused() -> None:
    with pytest.raises(ValueError, match="force has no effect without skip_existing"):
        RunOptions(force=True)


def test_resume_of_a_test_is_refused() -> None:
    with pytest.raises(ValueError, match="resume continues a training"):
        RunOptions(resume="last", mode="test")
