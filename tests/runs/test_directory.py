import os
import re
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, repeat
from pathlib import Path

import pytest

from labwright.args.errors import UserError
from labwright.runs import directory as directory_module
from labwright.runs.directory import RunDirectory, check_writable, open_run, run_parent
from labwright.runs.lock import RunLock
from labwright.runs.log import LogFile
from labwright.runs.record import RunRecord


def test_a_run_directory_is_named_by_experiment_and_time(tmp_path: Path) -> None:
    run = RunDirectory.create(tmp_path / "results", "mnist", "sweeps/first")
    assert run.path.is_dir()
    assert run.path.parent == tmp_path / "results" / "mnist" / "sweeps" / "first"
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{4}", run.path.name)


def test_two_runs_in_one_second_never_share_a_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen in the template: runs started in the same second wrote over each other."""
    monkeypatch.setattr(directory_module.time, "strftime", lambda _: "2026-01-31_12-00-00")
    suffixes = chain(repeat("0000", 20), (f"{number:04x}" for number in range(1, 1000)))
    lock = threading.Lock()

    def next_suffix(_: int) -> str:
        with lock:
            return next(suffixes)

    monkeypatch.setattr(directory_module.random_names, "token_hex", next_suffix)
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: RunDirectory.create(tmp_path, "mnist"), range(40)))
    assert len({run.path for run in runs}) == 40
    assert len(os.listdir(tmp_path / "mnist")) == 40


def test_processes_that_start_together_get_directories_of_their_own(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from labwright.runs.directory import RunDirectory
for _ in range(20):
    print(RunDirectory.create(Path(sys.argv[1]), "mnist").path)
"""
    command = [sys.executable, "-c", program, str(tmp_path / "results")]
    workers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    paths = [path for worker in workers for path in worker.communicate()[0].split()]
    assert len(paths) == len(set(paths)) == 60


@pytest.mark.parametrize("outside", ["../elsewhere", "a/../../b", "/tmp/absolute", "..", "a\x00b", "a\nb"])
def test_a_name_that_leaves_the_results_directory_is_refused(tmp_path: Path, outside: str) -> None:
    with pytest.raises(UserError, match="must be a relative path inside the results directory"):
        RunDirectory.create(tmp_path / "results", "mnist", outside)
    with pytest.raises(UserError, match="must be a relative path inside the results directory"):
        RunDirectory.create(tmp_path / "results", outside)
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize("empty", ["", "."])
def test_an_empty_experiment_id_is_refused(tmp_path: Path, empty: str) -> None:
    with pytest.raises(UserError, match="experiment id is empty"):
        run_parent(tmp_path, empty)


def test_a_link_out_of_the_results_directory_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results" / "mnist").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "results" / "mnist" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="link that leaves the results directory"):
        RunDirectory.create(tmp_path / "results", "mnist", "link/sub")
    assert os.listdir(tmp_path / "elsewhere") == []


def test_the_results_directory_itself_may_be_a_link(tmp_path: Path) -> None:
    (tmp_path / "big_disk").mkdir()
    (tmp_path / "results").symlink_to(tmp_path / "big_disk")
    run = RunDirectory.create(tmp_path / "results", "mnist")
    assert run.path.parent == tmp_path / "big_disk" / "mnist"


def test_a_loop_of_links_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    with pytest.raises(UserError, match="cannot be used"):
        run_parent(tmp_path / "a", "mnist")
    with pytest.raises(UserError, match="choose another with --results_dir"):
        check_writable(tmp_path / "a")


def test_a_writable_results_directory_is_checked_without_a_trace(tmp_path: Path) -> None:
    check_writable(tmp_path)
    check_writable(tmp_path / "not" / "yet" / "there")
    assert os.listdir(tmp_path) == []


def test_a_file_in_the_way_of_the_results_is_found_before_anything_else(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("a file")
    for directory in (tmp_path / "results", tmp_path / "results" / "mnist"):
        with pytest.raises(UserError, match=r"cannot write to results directory .*choose another with --results_dir"):
            check_writable(directory)
    with pytest.raises(UserError, match="cannot write to results directory"):
        RunDirectory.create(tmp_path / "results", "mnist")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_results_directory_without_permission_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(UserError, match="Permission denied"):
            check_writable(tmp_path / "results")
    finally:
        tmp_path.chmod(0o700)


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a file system on which nobody can write")
def test_a_file_system_that_takes_no_files_is_refused() -> None:
    with pytest.raises(UserError, match="cannot write to results directory /proc/results"):
        check_writable(Path("/proc/results"))


def test_a_finished_run_is_read_from_any_path_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = RunDirectory.create(tmp_path, "mnist")
    run.write_args({"experiment_id": "mnist", "epochs": 3})
    RunRecord.start(run.record_path, dataset={"name": "digits"}).finish("finished")
    run.history_path.write_text('{"epoch": 1, "step": 9, "split": "val", "metrics": {"loss": 0.5}}\n')

    monkeypatch.chdir(run.path.parent)
    opened = open_run(run.path.name)
    assert opened.args() == {"experiment_id": "mnist", "epochs": 3}
    assert opened.record()["dataset"] == {"name": "digits"}
    assert opened.history() == [{"epoch": 1, "step": 9, "split": "val", "metrics": {"loss": 0.5}}]


def test_no_secret_appears_in_any_file_of_a_run(tmp_path: Path) -> None:
    secrets = ["hunter22-key"]
    run = RunDirectory.create(tmp_path, "mnist")
    run.write_args({"experiment_id": "mnist"})
    run.write_command(
        ["python", "run.py"], cwd=tmp_path, typed=["run.py", "--wandb_api_key=hunter22-key"], secrets=secrets
    )
    record = RunRecord.start(run.record_path, secrets=secrets, machine={"wandb_api_key": "hunter22-key"})
    with LogFile(run.log_path, secrets) as log:
        log.write("wandb: logging in with hunter22-key\n")
    record.finish("failed", error="401: hunter22-key")
    files = [path for path in run.path.rglob("*") if path.is_file()]
    assert len(files) == 4
    assert not [path for path in files if b"hunter22" in path.read_bytes()]


def test_what_is_no_run_directory_is_refused_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such run directory"):
        open_run(tmp_path / "missing")
    with pytest.raises(UserError, match=r"is not a run directory: it has no run\.json"):
        open_run(tmp_path)


@pytest.mark.parametrize("content", [b"{", b"[]", b"\xff", b"[" * 100_000])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    run = RunDirectory.create(tmp_path, "mnist")
    run.record_path.write_bytes(content)
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        run.record()


def test_every_path_of_the_layout_lies_in_the_directory(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path)
    layout = [
        run.args_path,
        run.command_path,
        run.record_path,
        run.history_path,
        run.steps_path,
        run.plot_path,
        run.checkpoints_path,
        run.model_path,
        run.log_path,
    ]
    assert [path.relative_to(tmp_path).as_posix() for path in layout] == [
        "args.yaml",
        "command.sh",
        "run.json",
        "history.jsonl",
        "steps.jsonl",
        "history.png",
        "checkpoints",
        "model.safetensors",
        "log.txt",
    ]


def test_what_a_run_left_that_was_killed_before_it_had_a_name_is_removed(tmp_path: Path) -> None:
    killed, begun = (RunDirectory.stage(tmp_path, "mnist") for _ in range(2))
    for run in (killed, begun):
        (run.path / "args.yaml").touch()
        os.utime(run.path, (0, 0))
    with RunLock.take(begun.path):
        run = RunDirectory.create(tmp_path, "mnist")
    assert sorted((tmp_path / "mnist").iterdir()) == sorted([begun.path, run.path])
