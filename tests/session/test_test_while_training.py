"""A model can be tested by another process while its run is still training."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from lab.experiments.digits import DigitsArgs
from labwright import Experiment, Hook, MachineConfig
from labwright.args import RunOptions
from labwright.models import MLPArgs

RUN_PY = Path(__file__).parents[2] / "run.py"


class WatchedDigits(Experiment[DigitsArgs]):
    """Has another process test what the first epoch came to, once that is over."""

    def build_hooks(self) -> Sequence[Hook["WatchedDigits"]]:
        return [InAnotherProcess()]


class InAnotherProcess(Hook[WatchedDigits]):
    def on_epoch_start(self, loop: WatchedDigits) -> None:
        if loop.epoch != 2:
            return
        run, results = loop.run_directory.path, loop.machine.results_dir
        loop.recorder.checkpoints.writer.wait()
        self.files = sorted(path.name for path in run.rglob("*"))
        self.status = json.loads((run / "run.json").read_bytes())["status"]
        words = ["--experiment_id=digits", f"--config={run / 'args.yaml'}", "--mode=test", f"--from_checkpoint={run}"]
        words += [f"--results_dir={results}", "--results_subdir=tests", "--use_cuda=false", "--json"]
        self.ended = subprocess.run(
            [sys.executable, RUN_PY, *words], cwd=results.parent, capture_output=True, text=True, timeout=600
        )
        self.files_afterwards = sorted(path.name for path in run.rglob("*"))


@pytest.fixture
def train(tmp_path: Path) -> Callable[..., Any]:
    def train(kind: type[Experiment[DigitsArgs]], epochs: int) -> Experiment[DigitsArgs]:
        args = DigitsArgs(experiment_id="digits", epochs=epochs, model=MLPArgs(hidden_sizes=[16]), ema_decay=0.9)
        experiment = kind(args, MachineConfig(results_dir=tmp_path / "results", use_cuda=False))
        experiment.run(RunOptions(predictions="none"))
        return experiment

    return train


@pytest.mark.slow
@pytest.mark.usefixtures("no_pictures")
def test_a_run_is_tested_before_it_is_over(train: Callable[..., Any]) -> None:
    watched = train(WatchedDigits, epochs=3)
    [hook] = watched.hooks
    assert hook.ended.returncode == 0, hook.ended.stderr
    assert hook.status == "running"
    tested = json.loads(hook.ended.stdout)

    # it tested the weights of the first epoch: those that a run of one epoch returns
    assert tested["test"] == train(Experiment[DigitsArgs], epochs=1).result.test
    assert tested["test"] != watched.result.test
    assert Path(tested["run_dir"]).parent.name == "tests"

    # and the training did not notice
    assert hook.files == hook.files_afterwards
    alone = train(Experiment[DigitsArgs], epochs=3)
    models = [run.run_directory.model_path.read_bytes() for run in (watched, alone)]
    assert models[0] == models[1]
