"""`run.py diverge A B`, on two runs of the lab."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.runs import History, RunDirectory, RunRecord
from labwright.runs.proof.fingerprints import FILE_NAME, Fingerprint, FingerprintLog
from tests.conftest import Ended

CommandLine = Callable[..., Ended]


def make_run(path: Path, *, seed: int, order: int) -> None:
    """Three steps of an epoch, the second of which took the samples `order`."""
    path.mkdir(parents=True)
    run = RunDirectory(path)
    run.write_args({"experiment_id": "digits", "seed": seed})
    RunRecord.start(run.record_path, experiment_id="digits").finish("finished")
    History(run.history_path).append(1, 3, "train", {"loss": 0.5})
    log = FingerprintLog(path / FILE_NAME)
    log.append([Fingerprint(1, order if step == 2 else step, 0, 0.5, 1.0) for step in (1, 2, 3)])
    log.close()


@pytest.fixture
def results(tmp_path: Path) -> Path:
    results = tmp_path / "results"
    for name, seed, order in (("aaaa", 0, 0), ("bbbb", 0, 0), ("cccc", 1, 99)):
        make_run(results / "digits" / f"2026-01-31_12-00-00_{name}", seed=seed, order=order)
    return results


@pytest.mark.usefixtures("results")
def test_identical_runs_end_with_code_0(command_line: CommandLine) -> None:
    ended = command_line("diverge", "aaaa", "bbbb")
    assert ended.code == 0, ended.err
    first, verdict = ended.out.splitlines()
    assert first == "2026-01-31_12-00-00_aaaa | 2026-01-31_12-00-00_bbbb"
    assert verdict == "identical (3 steps)"


@pytest.mark.usefixtures("results")
def test_runs_that_part_end_with_code_1_and_the_step(command_line: CommandLine) -> None:
    ended = command_line("diverge", "aaaa", "cccc")
    assert ended.code == 1, ended.err
    assert ended.out.splitlines()[1:] == [
        "first differ at step 2 (epoch 1, batch 2): data order",
        "recorded as different before the first step:",
        "  args: seed 0 | 1",
    ]


@pytest.mark.usefixtures("results")
def test_a_script_reads_the_verdict_as_json(command_line: CommandLine) -> None:
    ended = command_line("diverge", "aaaa", "cccc", "--json")
    said = json.loads(ended.out)
    assert (ended.code, said["identical"], said["causes"]) == (1, False, {"args": ["seed 0 | 1"]})
    assert said["difference"]["step"] == 2
    assert [Path(path).name[-4:] for path in said["runs"]] == ["aaaa", "cccc"]


@pytest.mark.usefixtures("results")
def test_a_run_that_does_not_exist_is_one_line(command_line: CommandLine) -> None:
    assert "zzzz" in command_line("diverge", "aaaa", "zzzz").error
