"""The verdict on a run that was done again, of run directories made by hand."""

from pathlib import Path
from typing import Any

import pytest

from labwright.runs import RunDirectory, RunRecord
from labwright.runs.history import History
from labwright.runs.proof.divergence import compare_runs
from labwright.runs.proof.fingerprints import FILE_NAME, Fingerprint, FingerprintLog
from labwright.runs.proof.reproduction import Reproduction, environment_differences, metric_gap
from labwright.runs.provenance import host, versions

STEPS = [Fingerprint(1, step, step, 1.0, 1.0) for step in range(4)]


def make_run(
    path: Path, *, last: Fingerprint = STEPS[-1], loss: float = 0.5, test: dict[str, float] | None = None
) -> RunDirectory:
    """Four steps of an epoch; what is not given is as in every other."""
    path.mkdir()
    run = RunDirectory(path)
    run.write_args({"experiment_id": "digits"})
    RunRecord.start(run.record_path, experiment_id="digits")
    history = History(run.history_path)
    history.append(1, 4, "train", {"loss": loss})
    history.append(1, 4, "test", test or {"accuracy": 0.9})
    log = FingerprintLog(path / FILE_NAME)
    log.append([*STEPS[:-1], last])
    log.close()
    return run


def judged(
    tmp_path: Path, tolerance: float = 1e-3, facts: dict[str, Any] | None = None, **changes: Any
) -> Reproduction:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", **changes)
    known: dict[str, Any] = {"environment": [], "data": ("one", "one")} | (facts or {})
    return Reproduction("a", tolerance, compare_runs(a, b), metric_gap(a, b), **known)


def test_equal_runs_are_identical(tmp_path: Path) -> None:
    found = judged(tmp_path)
    assert (found.verdict, found.lines()) == ("identical", ["identical (4 steps)"])


def test_last_digits_are_within_the_tolerance(tmp_path: Path) -> None:
    found = judged(tmp_path, last=STEPS[-1]._replace(loss=1.0005), loss=0.5001)
    assert found.verdict == "within tolerance"
    assert found.lines()[:2] == [
        "within tolerance (losses up to 0.0005, final metrics up to 0.0002 apart, relatively; 0.001 is allowed)",
        "  first differ at step 4 (epoch 1, batch 4): weights",
    ]


@pytest.mark.parametrize(
    "changes",
    [
        {"tolerance": 1e-4, "last": STEPS[-1]._replace(loss=1.0005)},
        {"last": STEPS[-1]._replace(loss=float("nan"))},
        {"loss": 0.6},
        {"test": {"accuracy": float("nan")}},
        {"test": {"f1": 0.9}},
        {"last": STEPS[-1]._replace(order=9)},
        {"last": STEPS[-1]._replace(randomness=9)},
        {"facts": {"failure": "exit code 1, RuntimeError: no memory"}},
    ],
    ids=["loss", "NaN", "metric", "NaN metric", "other metric", "order", "randomness", "failed"],
)
def test_more_than_that_is_different(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert judged(tmp_path, **changes).verdict == "different"


def test_the_step_and_what_differs_there_are_named(tmp_path: Path) -> None:
    found = judged(tmp_path, last=STEPS[-1]._replace(order=9, loss=2.0))
    assert found.lines()[0] == "first differing at step 4 (epoch 1, batch 4): data order"
    assert found.to_json()["divergence"]["difference"]["step"] == 4


def test_other_data_and_other_arguments_are_said_first(tmp_path: Path) -> None:
    facts = {"data": ("one", "two"), "has_other_args": True, "failure": "exit code 1, KeyError: 'x'"}
    found = judged(tmp_path, facts=facts, loss=0.9)
    assert found.lines()[:3] == [
        "the data is not what it was (another fingerprint): the run cannot be the same",
        "args.yaml was changed since the run: this was done with other arguments",
        "the second run failed: exit code 1, KeyError: 'x'",
    ]


def test_data_without_a_fingerprint_is_not_called_other(tmp_path: Path) -> None:
    assert not judged(tmp_path, facts={"data": (None, "two")}).has_other_data


def test_the_environment_is_told_by_packages_python_and_computer() -> None:
    now = {"versions": versions(), "host": host()}
    assert list(environment_differences(now)) == []
    changed = now["versions"] | {"numpy": "0.1", "gone": "1.0", "pydantic": "********"}
    host_then = now["host"] | {"architecture": "riscv", "pid": 1}
    assert list(environment_differences({"versions": changed, "host": host_then})) == [
        f"numpy 0.1 -> {now['versions']['numpy']}",
        "gone 1.0 -> none",
        f"architecture riscv -> {now['host']['architecture']}",
    ]
