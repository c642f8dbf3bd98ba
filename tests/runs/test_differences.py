import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labwright.runs import RunDirectory
from labwright.runs.code.snapshot import Snapshot, take_snapshot
from labwright.runs.differences import Differences, diff_from_now, diff_runs
from labwright.runs.provenance import host, versions

from ..repositories import forget_settings, git, new_repository, snapshots_in
from ..written_runs import SGD, write_run

COMMIT, OTHER_COMMIT = "a" * 40, "b" * 40


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    forget_settings(monkeypatch, tmp_path)
    return new_repository(tmp_path / "lab", {"model.py": "width = 1\n", "run.py": "print(1)\n"})


def keep_code(repository: Path, run_id: str) -> dict[str, Any]:
    """What run.json says of the code as it is now."""
    snapshot = take_snapshot(repository, run_id)
    assert snapshot is not None
    return snapshot.to_json()


def names(found: Differences, section: str) -> list[str]:
    return [each.name for each in found.sections[section]]


def text(found: Differences) -> str:
    return "\n".join(found.lines())


def test_equal_runs_are_said_to_be_so(tmp_path: Path, repository: Path) -> None:
    facts: dict[str, Any] = {"host": host(), "dataset": {"name": "digits", "fingerprint": "12"}}
    runs = [write_run(tmp_path, run_id, git=keep_code(repository, run_id), **facts) for run_id in ("aa11", "bb22")]
    found = diff_runs(*runs)
    assert found.is_same
    assert [*found.lines()][1:] == [
        "",
        "no difference: same code, same arguments, same environment, same data, same results",
    ]


def test_everything_that_differs_is_told_and_nothing_else(tmp_path: Path, repository: Path) -> None:
    a = write_run(
        tmp_path,
        "aa11",
        git=keep_code(repository, "aa11"),
        sources={"seed": "--seed"},
        versions={"python": "3.11.7", "torch": "2.12.0", "old": "1"},
        host={"hostname": "red", "pid": 1},
        machine={"num_workers": 0},
        options={"tags": ["x"], "log_every_n_steps": 50},
        device="cpu",
        dataset={"name": "digits", "fingerprint": "12"},
    )
    (repository / "model.py").write_text("width = 2\n")
    (repository / "new.py").write_text("new\n")
    b = write_run(
        tmp_path,
        "bb22",
        args={"seed": 0, "optimizer": SGD},
        val_loss=[0.5, 0.2, 0.4],
        git=keep_code(repository, "bb22"),
        sources={"optimizer.kind": "--optimizer=sgd", "optimizer.momentum": "fast.yaml"},
        versions={"python": "3.11.7", "torch": "2.13.0"},
        host={"hostname": "blue", "pid": 2},
        machine={"num_workers": 4},
        options={"tags": [], "log_every_n_steps": 10},
        device="cuda",
        dataset={"name": "digits", "fingerprint": "34"},
    )
    found = diff_runs(a, b)
    assert not found.is_same
    assert text(found).splitlines() == [
        "2026-01-31_12-00-00_aa11 | 2026-01-31_12-00-00_bb22",
        "",
        "code: differs",
        "   model.py | 2 +-",
        "   new.py   | 1 +",
        "   2 files changed, 2 insertions(+), 1 deletion(-)",
        "",
        "arguments",
        "  optimizer.kind           adam (default)   ->  sgd (--optimizer)",
        "  optimizer.learning_rate  0.001 (default)  ->  0.1 (default)",
        "  optimizer.momentum       -                ->  0.9 (fast.yaml)",
        "",
        "environment",
        "  torch              2.12.0  ->  2.13.0",
        "  old                1       ->  -",
        "  hostname           red     ->  blue",
        "  num_workers        0       ->  4",
        "  log_every_n_steps  50      ->  10",
        "  device             cpu     ->  cuda",
        "",
        "data",
        "  fingerprint  12  ->  34",
        "",
        "results",
        "  train/loss    0.27  ->  0.18  (-0.09)",
        "  val/loss      0.3   ->  0.2  (-0.1)",
        "  val/accuracy  0.7   ->  0.8  (+0.1)",
    ]
    assert "-width = 1\n" in diff_runs(a, b, patch=True).code.text


def test_json_tells_absent_values_from_null(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "aa11", args={"note": None}), write_run(tmp_path, "bb22")]
    [difference] = diff_runs(*runs).to_json()["arguments"]
    assert (difference["name"], difference["a"], difference["b"], difference["absent"]) == ("note", None, None, ("b",))


def test_many_differences_and_long_values_stay_on_one_screen(tmp_path: Path) -> None:
    packages = {f"package-{number}": "1" for number in range(200)}
    runs = [
        write_run(tmp_path, "aa11", args={"names": ["x"] * 1000}, versions=packages),
        write_run(tmp_path, "bb22", args={"names": ["y\n"] * 1000}, versions={}),
    ]
    lines = text(diff_runs(*runs)).splitlines()
    assert "  ... and 180 more (--json has all)" in lines
    assert len(lines) < 40
    assert max(map(len, lines)) <= 120


@pytest.mark.parametrize(
    ("a", "b", "is_same", "reason"),
    [
        (None, {"commit": COMMIT, "dirty": False}, None, "without a snapshot of both it cannot be compared"),
        ({"commit": COMMIT, "dirty": False}, {"commit": COMMIT, "dirty": False}, True, "same commit aaaaaaaaaaaa"),
        ({"commit": COMMIT, "dirty": True}, {"commit": COMMIT, "dirty": False}, None, "but not all was committed"),
        ({"commit": COMMIT, "dirty": False}, {"commit": OTHER_COMMIT}, False, "commit aaaaaaaaaaaa -> bbbbbbbbbbbb"),
    ],
)
def test_without_snapshots_the_commits_say_what_they_can(
    tmp_path: Path, a: dict[str, Any] | None, b: dict[str, Any], is_same: bool | None, reason: str
) -> None:
    code = diff_runs(write_run(tmp_path, "aa11", git=a), write_run(tmp_path, "bb22", git=b)).code
    assert code.is_same is is_same
    assert reason in code.reason


def test_code_whose_repository_is_gone_is_known_to_differ(tmp_path: Path, repository: Path) -> None:
    a = write_run(tmp_path, "aa11", git=keep_code(repository, "aa11"))
    (repository / "model.py").unlink()
    b = write_run(tmp_path, "bb22", git=keep_code(repository, "bb22"))
    moved = repository.rename(tmp_path / "moved")
    assert diff_runs(a, b).code.is_same is False
    assert "the changes cannot be shown" in diff_runs(a, b).code.reason
    assert "model.py" in diff_runs(a, b, here=moved).code.text


def test_files_that_no_snapshot_holds_are_named_beside_the_verdict(tmp_path: Path, repository: Path) -> None:
    (repository / ".env").write_text("KEY=hunter2")
    runs = [write_run(tmp_path, run_id, git=keep_code(repository, run_id)) for run_id in ("aa11", "bb22")]
    assert diff_runs(*runs).code.reason == "same code (apart from what is not kept: .env)"


def test_runs_of_several_experiments_that_ended_otherwise_are_told_apart(tmp_path: Path) -> None:
    a = write_run(tmp_path, "aa11")
    b = write_run(tmp_path, "bb22", args={"experiment_id": "other"}, val_loss=[], status="failed")
    found = diff_runs(a, b)
    assert names(found, "arguments") == ["experiment_id"]
    assert names(found, "results")[:2] == ["status", "epochs"]


@pytest.fixture
def run(tmp_path: Path, repository: Path) -> Iterator[RunDirectory]:
    """A run of the code in the repository, in which nothing is left but the run's own snapshot."""
    run = write_run(tmp_path, "aa11", git=keep_code(repository, "aa11"), versions=versions(), host=host())
    yield run
    assert snapshots_in(repository) == {"refs/labwright/aa11": Snapshot.of(run.record()).commit}  # pyright: ignore[reportOptionalMemberAccess]


def test_nothing_changed_since_the_run(run: RunDirectory, repository: Path) -> None:
    found = diff_from_now(run, repository)
    assert found.is_same
    assert [*found.lines()][2] == "no difference: same code, same environment"


def test_what_changed_since_the_run_is_shown_and_the_repository_is_left_alone(
    run: RunDirectory, repository: Path
) -> None:
    (repository / "model.py").write_text("width = 3\n")
    (repository / "results").mkdir()
    (repository / "results" / "large.txt").write_text("no code")
    before = git(repository, "status", "--porcelain=v2")
    found = diff_from_now(run, repository, patch=True, leave_out=[repository / "results"])
    assert found.code.is_same is False
    assert "+width = 3" in found.code.text and "large.txt" not in found.code.text
    assert git(repository, "status", "--porcelain=v2") == before


def test_another_environment_now_is_told(run: RunDirectory, repository: Path) -> None:
    record = json.loads(run.record_path.read_text())
    record["versions"]["torch"] = "0.1"
    run.record_path.write_text(json.dumps(record))
    found = diff_from_now(run, repository)
    assert names(found, "environment") == ["torch"]
    assert not found.is_same


def test_a_run_without_a_snapshot_or_a_folder_without_a_repository_cannot_be_compared(
    run: RunDirectory, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert diff_from_now(run, elsewhere).code.reason == "there is no repository here to compare with"
    unkept = diff_from_now(write_run(tmp_path, "bb22"), elsewhere)
    assert unkept.code.reason == "without a snapshot of the run it cannot be compared"
    assert "code: without" in text(unkept)
