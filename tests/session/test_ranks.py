"""Several ranks by torchrun, on the CPU: they train what one process trains, stop together and come back."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from safetensors.torch import load_file

from . import ranks_lab

pytestmark = pytest.mark.slow
TORCHRUN = (sys.executable, "-m", "torch.distributed.run")
TOGETHER = ("equal", "left", "whole", "refused", "stopped", "stopped_between", "appended", "several")
"""The stories that one job can tell."""
_OF_TORCHRUN = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")


class Job(NamedTuple):
    """What a job left: the exit code, what was shown, and what each rank found out."""

    code: int
    shown: str
    found: list[dict[str, Any]]


def start(folder: Path, size: int, *stories: str, max_restarts: int = 0, weights: str | None = None) -> Job:
    """The lab's stories on so many ranks; without torchrun where that is one."""
    script = [str(Path(ranks_lab.__file__)), str(folder), *stories]
    launcher = [*TORCHRUN, f"--nproc_per_node={size}", f"--max_restarts={max_restarts}", "--standalone"]
    command = [sys.executable, *script] if size == 1 else [*launcher, *script]
    environment = {name: value for name, value in os.environ.items() if name not in _OF_TORCHRUN}
    environment |= {"OMP_NUM_THREADS": "1"} | ({} if weights is None else {"LAB_WEIGHTS": weights})
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=False)
    files = [folder / f"rank_{rank}.json" for rank in range(size)]
    found = [json.loads(file.read_text()) for file in files if file.is_file()]
    return Job(done.returncode, done.stdout + done.stderr, found)


def weights_of(run: str) -> dict[str, Any]:
    return load_file(Path(run) / "model.safetensors")


def history_of(run: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (Path(run) / "history.jsonl").read_text().splitlines()]


def losses_of_steps(run: str) -> list[float]:
    return [json.loads(line)["loss"] for line in (Path(run) / "steps.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = start(tmp_path_factory.mktemp("alone"), 1, "equal", "several")
    assert job.code == 0, job.shown
    return job


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory, alone: Job) -> Job:
    weights = alone.found[0]["equal"][0]["run"]
    job = start(tmp_path_factory.mktemp("two"), 2, *TOGETHER, weights=weights)
    assert job.code == 0, job.shown
    return job


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory, alone: Job) -> Job:
    weights = alone.found[0]["equal"][0]["run"]
    job = start(tmp_path_factory.mktemp("three"), 3, "equal", weights=weights)
    assert job.code == 0, job.shown
    return job


def test_weights_are_those_of_one_process(alone: Job, two: Job, three: Job) -> None:
    """With unequal shares, a last batch that is too small for all, accumulation and clipping."""
    expected = weights_of(alone.found[0]["equal"][0]["run"])
    for job in (two, three):
        weights = weights_of(job.found[0]["equal"][0]["run"])
        assert weights.keys() == expected.keys()
        assert all((weights[name] - expected[name]).abs().max() < 1e-6 for name in expected)


@pytest.mark.parametrize("run", ["ddp", "zero", "penalized"])
def test_a_train_batch_of_its_own_takes_and_tells_of_the_steps_of_one_process(run: str, alone: Job, two: Job) -> None:
    """Two optimizers, one frozen in the other's loss, whose graph begins before that; or a loss with a penalty."""
    of_one, of_two = (job.found[0]["several"][run]["run"] for job in (alone, two))
    weights = weights_of(of_two)
    assert all((weights[name] - value).abs().max() < 1e-9 for name, value in weights_of(of_one).items())
    assert losses_of_steps(of_two) == pytest.approx(losses_of_steps(of_one), rel=1e-9)


def test_parts_of_weights_are_refused_to_two_optimizers(two: Job) -> None:
    for rank in two.found:
        assert rank["several"]["fsdp"].startswith("--strategy=fsdp trains with one optimizer, and ")


def test_history_is_that_of_one_process(alone: Job, two: Job, three: Job) -> None:
    expected = history_of(alone.found[0]["equal"][0]["run"])
    for job in (two, three):
        for row, row_alone in zip(history_of(job.found[0]["equal"][0]["run"]), expected, strict=True):
            assert (row["epoch"], row["step"], row["split"]) == (
                row_alone["epoch"],
                row_alone["step"],
                row_alone["split"],
            )
            assert row["metrics"]["loss"] == pytest.approx(row_alone["metrics"]["loss"], rel=1e-9)
            assert row["metrics"]["accuracy"] == row_alone["metrics"]["accuracy"]


def test_evaluation_of_a_prime_number_of_samples_counts_each_once(alone: Job, two: Job, three: Job) -> None:
    expected = alone.found[0]["equal"][1]["test"]
    for job in (two, three):
        tested = job.found[0]["equal"][1]["test"]
        assert tested["accuracy"] * ranks_lab.NUM_TEST == expected["accuracy"] * ranks_lab.NUM_TEST
        assert tested["loss"] == pytest.approx(expected["loss"], rel=1e-9)


def test_all_ranks_know_what_the_run_came_to_and_one_has_written_it(two: Job) -> None:
    first, second = two.found
    assert first == second
    record = json.loads((Path(first["equal"][0]["run"]) / "run.json").read_text())
    assert record["status"] == "finished"
    assert record["chosen"]["ranks"] == {"world_size": 2, "strategy": "ddp"}
    assert len(list(Path(first["whole"][0]["run"]).parent.iterdir())) == 1


@pytest.mark.skipif(sys.platform != "linux", reason="the threads are those that Linux names")
def test_no_thread_of_the_group_outlives_the_run(two: Job) -> None:
    """Now and then a job that had done its work ended with "terminate called without an active exception".

    torch's own modules held the group, and its threads wanted the interpreter while that came to its end.
    """
    assert [rank["left"] for rank in two.found] == [[[]] * 4] * 2


def test_what_ranks_cannot_do_is_refused_by_all_of_them_alike(two: Job) -> None:
    few, of_its_own, not_finite = two.found[0]["refused"]
    assert two.found[1]["refused"] == two.found[0]["refused"]
    assert "--batch_size=1 is that of all 2 ranks together" in few
    assert "self.parallel" in of_its_own
    assert "the loss is nan at step 4" in not_finite
    assert "rank 1 failed" not in two.shown  # rank 0 says it


def test_a_stop_of_one_rank_ends_all_after_the_same_step(two: Job) -> None:
    assert [found["stopped"][0]["steps"] for found in two.found] == [5, 5]


def test_a_stop_of_one_rank_between_passes_ends_all_there(two: Job) -> None:
    first, second = (found["stopped_between"] for found in two.found)
    assert first == second
    assert [run["steps"] for run in first] == [10, 10, 10, 10]
    assert [bool(run["val"]) for run in first] == [True, True, False, True]


def test_rows_of_a_run_that_is_resumed_within_an_epoch_are_those_of_rank_0(two: Job) -> None:
    rows = (Path(two.found[0]["appended"][0]["run"]) / "artifacts" / "rows.jsonl").read_text().splitlines()
    assert [json.loads(row) for row in rows] == [{"step": step, "rank": 0} for step in range(1, 21)]


def test_a_signal_while_rank_0_works_alone_ends_the_run(tmp_path: Path) -> None:
    job = start(tmp_path, 2, "drawing")
    assert job.code != 0
    assert json.loads((next(tmp_path.glob("drawing/double/*")) / "run.json").read_text())["status"] == "interrupted"


def test_a_run_whose_rank_was_killed_is_resumed_by_torchrun_and_ends_the_same(two: Job, tmp_path: Path) -> None:
    job = start(tmp_path, 2, "killed", max_restarts=1)
    assert job.code == 0, job.shown
    run, never_stopped = job.found[0]["killed"][0]["run"], two.found[0]["whole"][0]["run"]
    assert "failed: RankLost: rank 1 of 2 is gone: it was killed or crashed" in (Path(run) / "log.txt").read_text()
    assert len(json.loads((Path(run) / "run.json").read_text())["resumes"]) == 1
    assert history_of(run) == history_of(never_stopped)
    expected = weights_of(never_stopped)
    assert all(weights.equal(expected[name]) for name, weights in weights_of(run).items())


def test_the_rank_that_is_left_tells_where_the_run_is_and_how_it_goes_on(tmp_path: Path) -> None:
    job = start(tmp_path, 2, "main_killed")
    run = next(tmp_path.glob("main_killed/double/*"))
    assert job.code != 0
    assert f"rank 1: rank 0 of 2 is gone: it was killed or crashed; kept in {run}" in job.shown
    [command] = [line for line in job.shown.splitlines() if line.startswith("to go on: torchrun --nproc_per_node=2 ")]
    assert command.endswith(f" resume {run}")


def test_a_signal_to_one_rank_stops_all_after_the_same_step_and_one_process_goes_on(two: Job, tmp_path: Path) -> None:
    job = start(tmp_path, 2, "signalled")
    run = next(tmp_path.glob("signalled/double/*"))
    assert job.code != 0
    assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
    assert json.loads((run / "checkpoints" / "index.json").read_text())["last"]["step"] in (13, 14)
    went_on = ranks_lab.run(tmp_path / "signalled", resume=str(run))
    never_stopped = two.found[0]["whole"][0]["run"]
    for row, expected in zip(history_of(str(run)), history_of(never_stopped), strict=True):
        assert row["metrics"] == pytest.approx(expected["metrics"], rel=1e-9)
    expected = weights_of(never_stopped)
    assert all((weights - expected[name]).abs().max() < 1e-6 for name, weights in weights_of(went_on["run"]).items())
    assert "goes on with 1 rank and had 2" in (run / "log.txt").read_text()


@pytest.fixture(scope="module")
def unlike(tmp_path_factory: pytest.TempPathFactory) -> Job:
    job = start(tmp_path_factory.mktemp("unlike"), 2, "weighted", "late")
    assert job.code == 0, job.shown
    return job


def test_ranks_wait_for_one_that_needs_long_and_refuse_what_one_cannot_do(unlike: Job) -> None:
    refusals = ["rank 1: cannot read the weights", "rank 1: there is no GPU left"]
    assert [found["late"] for found in unlike.found] == [[10, *refusals], [10, *refusals]]


def test_share_without_anything_that_counts_changes_nothing(unlike: Job, tmp_path: Path) -> None:
    run, alone = unlike.found[0]["weighted"][0]["run"], ranks_lab.weighted(tmp_path)[0]["run"]
    for row, expected in zip(history_of(run), history_of(alone), strict=True):
        assert row["metrics"] == pytest.approx(expected["metrics"], rel=1e-9)
    expected = weights_of(alone)
    assert all((weights - expected[name]).abs().max() < 1e-6 for name, weights in weights_of(run).items())


def test_command_of_a_run_repeats_it_on_as_many_ranks(tmp_path: Path) -> None:
    """It began one process, which draws other numbers and shares nothing out."""
    script, results = tmp_path / "run.py", tmp_path / "results"
    script.write_text("from labwright import main\nfrom tests.session.ranks_lab import DoubleArgs\nmain(DoubleArgs)\n")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    begun = [*TORCHRUN, "--nproc_per_node=2", "--standalone", str(script), "--epochs=1", "--use_cuda=false"]
    for command in ([*begun, f"--results_dir={results}"], ["sh", "command.sh"]):
        at = tmp_path if command[0] != "sh" else next(results.glob("*/*"))
        subprocess.run(command, cwd=at, env=environment, capture_output=True, timeout=600, check=True)
    records = [json.loads(path.read_text()) for path in results.glob("*/*/run.json")]
    assert [record["chosen"]["ranks"]["world_size"] for record in records] == [2, 2]
    weights, again = (weights_of(str(path.parent)) for path in results.glob("*/*/run.json"))
    assert all(weights[name].equal(again[name]) for name in weights)
