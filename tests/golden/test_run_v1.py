"""`run_v1` is a run directory that labwright 0.1.0 wrote, with checkpoints of schema 1. It is still read, and taken up.

Its paths are those of a computer that is gone, and the pictures were left out. Never write it anew: it is there to
show that what changed since then is still understood.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from labwright import open_run
from labwright.args import resolve
from labwright.runs import CheckpointStore, History, resolve_checkpoint
from labwright.train import restore_state

RUN = Path(__file__).parent / "run_v1"
ROOT = RUN.parents[2]


def test_its_record_and_history_are_read() -> None:
    run = open_run(RUN)
    assert run.record()["status"] == "finished" and run.record()["result"]["steps"] == 14
    history = History.load(run.history_path)
    assert history.splits() == ["train", "val", "test"]
    best = history.best()
    assert best is not None and (best.epoch, best.step) == (2, 14)


def test_its_args_are_still_arguments() -> None:
    from lab.registry import EXPERIMENTS

    args = resolve(EXPERIMENTS, "digits").model_validate(open_run(RUN).args())
    assert (args.experiment_id, args.epochs, args.ema_decay) == ("digits", 2, 0.9)


def test_its_checkpoints_are_verified_and_found() -> None:
    store = CheckpointStore(RUN / "checkpoints")
    found = store.newest_valid()
    assert found.path.name == "step_00000014.safetensors" and found.rejected == []
    assert list(store.read_index()) == ["last", "last_2", "best"]
    assert resolve_checkpoint(RUN) == RUN / "model.safetensors"


def test_the_state_in_its_checkpoint_is_that_of_the_present_schema() -> None:
    state = restore_state(CheckpointStore(RUN / "checkpoints").newest_valid().path)
    parts = {"model", "returns_average", "optimizers", "schedulers", "stepper", "rng", "num_threads"}
    assert state.keys() == parts | {"run"}
    run = state["run"]
    assert run["position"] | {"train_seconds": 0} == {
        "epoch": 2,
        "step": 14,
        "num_samples": 400,
        "train_seconds": 0,
        "learning_rate": 0.001,
    }
    assert run["best"]["epoch"] == 2 and run["early_stopping"] is None
    assert run["progress"] is None
    assert state["model"]["head.weight"].shape == (10, 8)
    assert torch.equal(state["optimizers"]["optimizer"]["state"][0]["step"], torch.tensor(14.0))


@pytest.mark.slow
def test_it_is_resumed_for_another_epoch(tmp_path: Path) -> None:
    run = shutil.copytree(RUN, tmp_path / "digits" / "2026-11-21_07-28-19_3191")
    before = History.load(run / "history.jsonl").rows
    flags = ["--epochs=3", "--use_cuda=false", f"--results_dir={tmp_path}", f"--cache_dir={tmp_path / 'cache'}"]
    command = [sys.executable, str(ROOT / "run.py"), "resume", str(run), *flags]
    result = subprocess.run(
        command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    record = open_run(run).record()
    assert record["status"] == "finished" and record["result"]["steps"] == 21
    history = History.load(run / "history.jsonl")
    assert history.rows[: len(before)] == before
    assert history.series("train", "loss")[0] == history.series("val", "loss")[0] == [1, 2, 3]
    state = restore_state(CheckpointStore(run / "checkpoints").newest_valid().path)
    assert state["run"]["position"]["step"] == 21
    assert torch.equal(state["optimizers"]["optimizer"]["state"][0]["step"], torch.tensor(21.0))
