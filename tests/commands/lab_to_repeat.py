"""A small lab in a repository of its own, for what starts its runs in processes."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labwright.runs.command import on_ranks

from ..repositories import forget_settings, new_repository

RUN_PY = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent / "src"))
from labwright.cli import main
from labwright.session import recorder
recorder.plot_history = lambda *words, **more: []  # drawing takes most of a tiny run's time
if __name__ == "__main__":
    main({"points": "tinylab.points:PointsArgs", "counter": "tinylab.counter:CounterArgs"})
"""
POINTS = """
import os
import torch
from labwright import Experiment, ExperimentArgs
from labwright.datasets import Splits, TensorDataset
from labwright.optimizers import AdamArgs


class PointsArgs(ExperimentArgs):
    epochs: int = 3
    optimizer: AdamArgs = AdamArgs()
    batch_size: int = 4

    def build(self, machine):
        return Points(self, machine)


class Points(Experiment[PointsArgs]):
    def build_datasets(self):
        x = torch.linspace(-1, 1, 80).reshape(40, 2)
        points = TensorDataset(x, (x[:, 0] > 0).long(), source="line")
        train, val = points.subset(range(30)), points.subset(range(30, 40))
        return Splits(name="line", train={"train": train}, val={"val": val}, num_outputs=2, task="classification")

    def build_model(self):
        return torch.nn.Sequential(torch.nn.Linear(2, 8), torch.nn.Dropout(), torch.nn.Linear(8, 2))

    def build_loader(self, dataset, name, *, training):
        loader = super().build_loader(dataset, name, training=training)
        if "TINYLAB_ORDER" in os.environ and training:
            set_epoch = loader.set_epoch
            loader.set_epoch = lambda epoch: set_epoch(epoch + (epoch > 1))
        return loader

    def plot(self, run, predictions):
        return []
"""
COUNTER = """
import time
from typing import Literal
import numpy as np
from labwright import BareExperiment, ExperimentArgs
from labwright.datasets import Splits


class CounterArgs(ExperimentArgs):
    epochs: int = 4
    resumes: Literal["well", "forgetful", "never", "anew"] = "well"

    def build(self, machine):
        return Counter(self, machine)


class Counter(BareExperiment[CounterArgs]):
    count = 0
    passes = 0

    def build_datasets(self):
        return Splits(name="numbers", train={"train": [1, 2]}, val={"val": [3]})

    def run_dataset(self):
        time.sleep(0.05)  # it is to be killed within an epoch, however busy the machine is
        self.passes += 1
        self.count += self.passes
        self.dataset_metrics.update(loss=1.0 / self.count)

    def state_dict(self):
        passes = 0 if self.args.resumes == "forgetful" else self.passes
        return {"count": np.array(self.count), "passes": np.array(passes)} if self.args.resumes != "anew" else {}

    def load_state_dict(self, state):
        if self.args.resumes == "never":
            raise RuntimeError("it cannot go back")
        self.count, self.passes = int(state["count"]), int(state["passes"])
"""


def new_lab(folder: Path) -> Path:
    """The lab, all of it committed."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch, folder.parent)
        files = {"run.py": RUN_PY, "pyproject.toml": "", ".gitignore": "results\ncache\nconfig.yaml\n__pycache__\n"}
        sources = {"__init__.py": "", "points.py": POINTS, "counter.py": COUNTER}
        return new_repository(folder, files | {f"src/tinylab/{name}": text for name, text in sources.items()})


def start_run(lab: Path, *words: str, num_ranks: int = 1) -> Path:
    """The directory of a run that the lab's own program made."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABWRIGHT_", "GIT_"))}
    before = {*(lab / "results").glob("*/*")}
    ended = subprocess.run(
        [*on_ranks((sys.executable, "run.py"), num_ranks), *words],
        cwd=lab,
        env=kept,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    [run] = {*(lab / "results").glob("*/*")} - before
    return run
