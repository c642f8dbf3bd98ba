"""`import_run`: the experiment of a run, live, by the code that the run had."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labwright import imported as imported_module
from labwright.runs import RunDirectory

from .repositories import forget_settings, new_repository

PYPROJECT = '[tool.labwright]\nregistry = "tinylab.registry:EXPERIMENTS"\n'
REGISTRY = 'EXPERIMENTS = {"tiny": "tinylab.tiny:TinyArgs", "bare": "tinylab.bare:BareArgs"}\n'
TINY = """
import torch
from labwright import Experiment, ExperimentArgs
from labwright.datasets import Splits, TensorDataset
from labwright.optimizers import SGDArgs

from .scale import SCALE


class TinyArgs(ExperimentArgs):
    optimizer: SGDArgs = SGDArgs()
    width: int = 3

    def build(self, machine):
        return Tiny(self, machine)


class Tiny(Experiment[TinyArgs]):
    def build_datasets(self):
        x = torch.linspace(-1, 1, 32).reshape(16, 2)
        points = TensorDataset(x, (x[:, 0] > 0).long(), source="line")
        train, val = points.subset(range(12)), points.subset(range(12, 16))
        return Splits(name="line", train={"train": train}, val={"val": val}, num_outputs=2, task="classification")

    def build_model(self):
        return Scaled(self.args.width)


class Scaled(torch.nn.Module):
    def __init__(self, width):
        super().__init__()
        self.layers = torch.nn.Sequential(torch.nn.Linear(2, width), torch.nn.Dropout(), torch.nn.Linear(width, 2))

    def forward(self, x):
        return self.layers(x) * SCALE
"""
BARE = """
import numpy as np
from labwright import BareExperiment, ExperimentArgs
from labwright.datasets import Splits


class BareArgs(ExperimentArgs):
    def build(self, machine):
        return Bare(self, machine)


class Bare(BareExperiment[BareArgs]):
    count = 0

    def build_datasets(self):
        return Splits(name="numbers", train={"train": [1, 2]}, val={"val": [3]})

    def run_dataset(self):
        self.count += 1 if self.is_training else 0
        self.dataset_metrics.update(loss=1.0 / (self.count + 1))

    def state_dict(self):
        return {"count": np.array(self.count)}

    def load_state_dict(self, state):
        self.count = int(state["count"])
"""
TRAIN = """
import json
from pathlib import Path
import labwright
from labwright.runs.code.snapshot import take_snapshot
from labwright.session import recorder
recorder.plot_history = labwright.Experiment.plot = lambda *words, **more: []
for name in ("tiny", "bare"):
    result = labwright.run(name, {"epochs": 2, "predictions": "none", "use_cuda": False})
    snapshot = take_snapshot(Path.cwd(), result.run_dir.name, leave_out=[Path("results"), Path("cache")])
    path = result.run_dir / "run.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"git": snapshot.to_json()}))
"""
COMPARE = """
import torch
from pathlib import Path
from safetensors.torch import load_file
weights = load_file(run / "model.safetensors")
hidden = torch.ones(1, 2) @ weights["layers.0.weight"].T + weights["layers.0.bias"]
expected = hidden @ weights["layers.2.weight"].T + weights["layers.2.bias"]
print("SCALE", (experiment.model(torch.ones(1, 2)) / expected).mean().round().item())
print("ARGS", experiment.args.width, experiment.args.from_checkpoint)
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lab with a run of each of its experiments, whose code has changed since."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("import") / "lab"
        forget_settings(patch, folder.parent)
        files = {
            "registry.py": REGISTRY,
            "tiny.py": TINY,
            "bare.py": BARE,
            "__init__.py": "",
            "scale.py": "SCALE = 1\n",
        }
        new_repository(folder, {f"src/tinylab/{name}": text for name, text in files.items()})
        (folder / "pyproject.toml").write_text(PYPROJECT)
        (folder / "src" / "tinylab" / "scale.py").write_text("SCALE = 10\n")  # neither is committed
        ended = python(folder, TRAIN)
        assert ended.returncode == 0, ended.stderr
        (folder / "src" / "tinylab" / "scale.py").write_text("SCALE = 1000\n")
        (folder / "src" / "tinylab" / "bare.py").write_text(BARE.replace("int(state", "100 + int(state"))
    return folder


def python(folder: Path, code: str) -> "subprocess.CompletedProcess[str]":
    """A fresh Python in `folder`."""
    environment = os.environ | {"XDG_CACHE_HOME": str(folder.parent / "cache"), "MPLBACKEND": "agg"}
    environment = {name: value for name, value in environment.items() if not name.startswith(("LABWRIGHT_", "GIT_"))}
    command = [sys.executable, "-W", "always::UserWarning", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def run_of(lab: Path, name: str) -> Path:
    [run] = (lab / "results" / name).iterdir()
    return run


def imported(folder: Path, run: Path, then: str, *, run_as: str | None = None) -> "subprocess.CompletedProcess[str]":
    """What becomes of the run in a fresh Python, which goes on with `then`."""
    code = f"""
import sys
from pathlib import Path
from labwright import import_run
assert "torch" not in sys.modules
run = Path({str(run)!r})
experiment = import_run({(run_as or str(run))!r})
"""
    return python(folder, code + then)


@pytest.mark.slow
class TestAFreshProcess:
    def test_it_computes_with_the_code_and_the_weights_of_the_run(self, lab: Path) -> None:
        run = run_of(lab, "tiny")
        ended = imported(lab, run, COMPARE, run_as=run.name)
        assert ended.stdout.splitlines() == ["SCALE 10.0", "ARGS 3 None"], ended.stderr
        assert ended.stderr == ""
        assert (lab / "src" / "tinylab" / "scale.py").read_text() == "SCALE = 1000\n"

    def test_an_experiment_without_torch_has_its_state(self, lab: Path) -> None:
        ended = imported(lab.parent, run_of(lab, "bare"), "print(experiment.count)")
        assert ended.stdout == "2\n", ended.stderr

    def test_code_of_the_lab_from_elsewhere_is_refused(self, lab: Path) -> None:
        code = "import sys\nsys.path.insert(0, 'src')\nimport tinylab.scale\nfrom labwright import import_run\n"
        ended = python(lab, f"{code}import_run('last')")
        assert "is already imported, from" in ended.stderr and "fresh Python process" in ended.stderr

    def test_without_its_code_the_present_code_is_used_and_a_warning_says_so(self, lab: Path) -> None:
        run = run_of(lab, "bare")
        record = json.loads((run / "run.json").read_bytes())
        copy = lab.parent / "copy"
        copy.mkdir()
        for name in ("args.yaml", "model.safetensors"):
            (copy / name).write_bytes((run / name).read_bytes())
        (copy / "run.json").write_text(json.dumps(record | {"git": None}))
        ended = imported(lab, copy, "print(experiment.count)")
        assert ended.stdout == "102\n", ended.stderr
        assert "its code was not kept; the present code is used" in ended.stderr

    def test_a_run_of_another_labwright_is_a_warning(self, lab: Path) -> None:
        path = run_of(lab, "bare") / "run.json"
        record = json.loads(path.read_bytes())
        path.write_text(json.dumps(record | {"versions": {"labwright": "0.0.1"}}))
        ended = imported(lab, path.parent, "print(experiment.count)")
        path.write_text(json.dumps(record))
        assert ended.stdout == "2\n", ended.stderr
        assert "its labwright is not this one" in ended.stderr


def test_a_fork_whose_labwright_changed_is_a_warning(tmp_path: Path) -> None:
    fork = tmp_path / "code" / "src" / "labwright"
    shutil.copytree(Path(imported_module.__file__).parent, fork, ignore=shutil.ignore_patterns("__pycache__"))
    compare = imported_module._compare_library
    compare(RunDirectory(tmp_path), tmp_path / "code")
    (fork / "api.py").write_text("changed")
    with pytest.warns(UserWarning, match="its labwright is not this one"):
        compare(RunDirectory(tmp_path), tmp_path / "code")
