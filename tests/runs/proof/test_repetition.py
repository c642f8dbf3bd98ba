"""How a run is started again: where, with which code, by which words."""

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from labwright.args import UserError
from labwright.runs import RunDirectory
from labwright.runs.code.snapshot import take_snapshot
from labwright.runs.proof.killing import Kill
from labwright.runs.proof.repetition import Repetition, last_words, repeat_run, run_within, working_folder
from labwright.runs.proof.verification import Verification

from ...repositories import forget_settings, new_repository


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A lab in a folder of its repository, with data that git does not know."""
    forget_settings(monkeypatch, tmp_path)
    files = {"part/run.py": "print(1)\n", "part/src/lab.py": "", ".gitignore": "data\n"}
    lab = new_repository(tmp_path / "my repository", files) / "part"
    (lab / "data").mkdir()
    (lab / "data" / "table.csv").write_text("1,2\n")
    return lab


def make_run(lab: Path, *, args: dict[str, Any] | None = None, snapshot: bool = True, **facts: Any) -> RunDirectory:
    """What a run of the lab leaves that concerns its repetition."""
    run = RunDirectory.create(lab.parents[1] / "results", "digits")
    run.write_args({"experiment_id": "digits", "epochs": 3} | (args or {}))
    kept = take_snapshot(lab, run.path.name) if snapshot else None
    machine = {"cache_dir": str(lab / "data"), "num_workers": 2, "use_cuda": None, "wandb_api_key": "********"}
    record = {
        "status": "finished",
        "program": ["/gone/python", str(lab / "run.py")],
        "cwd": str(lab),
        "flags": ["--use_wandb=true", '--tags=["a"]', "--log_every_n_steps=5", "--num_workers=1"],
        "machine": machine,
        "options": {"mode": "train"},
        "device": "cpu (3 threads)",
        "git": kept.to_json() if kept else None,
    }
    run.record_path.write_text(json.dumps(record | facts))
    return run


def repeated(run: RunDirectory, tmp_path: Path) -> Repetition:
    return repeat_run(run, tmp_path / "code", cache_dir=tmp_path / "cache", here=tmp_path)


def test_the_code_of_the_snapshot_runs_where_it_was_restored(lab: Path, tmp_path: Path) -> None:
    run = make_run(lab)
    (lab / "run.py").write_text("print(2)\n")
    repetition = repeated(run, tmp_path)
    place = tmp_path / "code" / "part"
    assert (repetition.cwd, repetition.program) == (place, (sys.executable, str(place / "run.py")))
    assert (place / "run.py").read_text() == "print(1)\n"


def test_flags_and_machine_of_the_run_hold_but_nobody_else_hears_of_it(lab: Path, tmp_path: Path) -> None:
    run = make_run(lab)
    command = repeated(run, tmp_path).begin_command(tmp_path / "new", {"epochs": 2}, without=("log_every_n_steps",))
    assert command[2:] == [
        f"--config={run.args_path}",
        "--num_workers=2",
        f"--cache_dir={lab / 'data'}",
        "--snapshot=false",
        "--epochs=2",
        f"--results_dir={tmp_path / 'new'}",
    ]


def test_data_that_moved_is_looked_for_in_the_present_cache(lab: Path, tmp_path: Path) -> None:
    run = make_run(lab, machine={"cache_dir": "/gone/cache"})
    assert repeated(run, tmp_path).flags["cache_dir"] == str(tmp_path / "cache")


def test_files_that_arguments_name_and_git_ignores_are_found_from_the_restored_code(lab: Path, tmp_path: Path) -> None:
    run = make_run(
        lab, args={"dataset": {"kind": "csv", "paths": ["data/table.csv", "../.gitignore", "no/file", "src"]}}
    )
    cwd = repeated(run, tmp_path).cwd
    assert (cwd / "data" / "table.csv").read_text() == "1,2\n"
    assert not (cwd / "no").exists() and not (cwd / "src").is_symlink()


def test_a_module_is_taken_from_the_restored_code(lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = make_run(lab, program=[sys.executable, "-m", "lab"])
    (lab / "src" / "lab.py").write_text("raise SystemExit(1)")
    monkeypatch.setenv("PYTHONPATH", str(lab / "src"))
    repetition = repeated(run, tmp_path)
    with repetition.process([*repetition.program]) as process:
        assert process.wait() == 0


def test_threads_are_those_of_the_run_and_no_variable_changes_its_settings(
    lab: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWRIGHT_EPOCHS", "9")
    (lab / "run.py").write_text(
        "import os, sys\n"
        "print('line\\nrun.py: error: unset', os.environ['OMP_NUM_THREADS'], file=sys.stderr)\n"
        "sys.exit(1 if 'LABWRIGHT_EPOCHS' not in os.environ else 0)"
    )
    repetition, log = repeated(make_run(lab), tmp_path), tmp_path / "log.txt"
    with repetition.process([*repetition.program], log) as process:
        assert process.wait() == 1
    assert last_words(log) == "unset 3"


@pytest.mark.parametrize(
    ("said", "word"),
    [
        ("wrote config.yaml\nrun.py: error: no data\n", "no data"),
        ("failed: RuntimeError: no; kept in here\nto go on: run.py resume here\n\n", "RuntimeError: no; kept in here"),
        ("Traceback:\n  x\nKeyError: 1\n", "KeyError: 1"),
        ("\n", "it said nothing"),
    ],
)
def test_the_line_that_says_why_a_process_ended_is_found(tmp_path: Path, said: str, word: str) -> None:
    (tmp_path / "log.txt").write_text(said)
    assert last_words(tmp_path / "log.txt") == word


def test_a_process_ends_with_its_block(lab: Path, tmp_path: Path) -> None:
    (lab / "run.py").write_text("import time\ntime.sleep(600)")
    repetition = repeated(make_run(lab), tmp_path)
    with pytest.raises(KeyboardInterrupt), repetition.process([*repetition.program]) as process:
        raise KeyboardInterrupt
    assert process.returncode < 0


def test_a_run_of_several_ranks_is_verified_by_one_process_and_that_is_said(lab: Path, tmp_path: Path) -> None:
    repetition = repeated(make_run(lab, snapshot=False, chosen={"ranks": {"world_size": 2}}), tmp_path)
    verification = Verification("a", {}, 4, 1, 0, [Kill(2, 1, True)], {"epoch": 1}, [], repetition.num_ranks)
    assert verification.lines()[1:] == ["  on one process: that 2 ranks resume was not tried"]


def test_without_a_snapshot_the_present_code_is_used(lab: Path, tmp_path: Path) -> None:
    repetition = repeated(make_run(lab, snapshot=False), tmp_path)
    assert (repetition.code, repetition.cwd, repetition.program[1]) == (None, lab, str(lab / "run.py"))
    assert "the code as it is now" in repetition.code_text
    (lab / "run.py").unlink()
    with pytest.raises(UserError, match="its code was not kept, and .*run.py is gone"):
        repeated(make_run(lab, snapshot=False), tmp_path)


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"debug": True}, "is a debug run"),
        ({"options": {"mode": "predict"}}, "did not train"),
        ({"options": {"only_test": True}}, "did not train"),
        ({"program": None}, "does not say how the run was started"),
        ({"args": {"from_checkpoint": "/gone/step_00000007.safetensors"}}, "weights in /gone/step_.*, which are gone"),
        ({"args": {"from_checkpoint": {"encoder": "gone"}}}, "weights in gone, which are gone"),
        ({"program": ["python", "{lab}/other.py"]}, "does not hold the program of the run"),
    ],
    ids=["debug", "predict", "test", "old", "gone weights", "gone part", "no program"],
)
def test_what_cannot_be_repeated_is_refused(lab: Path, tmp_path: Path, facts: dict[str, Any], said: str) -> None:
    if facts.get("program"):
        facts = {"program": [word.format(lab=lab) for word in facts["program"]]}
    with pytest.raises(UserError, match=said):
        repeated(make_run(lab, **facts), tmp_path)


def test_a_program_that_leaves_no_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "digits" / ".2026.new").mkdir(parents=True)
    (tmp_path / "digits" / ".2026.new" / "run.json").touch()
    with pytest.raises(UserError, match="ended without a run"):
        run_within(tmp_path)


def test_a_temporary_folder_goes_unless_it_is_kept_or_chosen(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    found: list[Path] = []
    for words in ({}, {"keep": True}, {"chosen": chosen}):
        with working_folder(**words) as folder:
            (folder / "file").touch()
            found.append(folder)
    assert [folder.exists() for folder in found] == [False, True, True]
    assert found[2] == chosen
    (found[1] / "file").unlink()
    found[1].rmdir()
    with pytest.raises(UserError, match="is not empty"), working_folder(chosen):
        pass
    assert os.listdir(chosen) == ["file"]
