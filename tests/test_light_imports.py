"""Nothing heavy is imported before the arguments are known to be right; asked of fresh Pythons."""

import subprocess
import sys
from pathlib import Path

import pytest

from lab.registry import EXPERIMENTS

ROOT = Path(__file__).resolve().parent.parent
HEAVY = (
    "torch",
    "jax",
    "torchmetrics",
    "numpy",
    "matplotlib",
    "wandb",
    "sklearn",
    "tensorboard",
    "datasets",
    "safetensors",
    "tqdm",
)
SCRIPT = f"""
import runpy, sys
sys.argv = sys.argv[1:]
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
except SystemExit as done:
    print("code", done.code)
print("heavy", [name for name in {HEAVY} if name in sys.modules])
"""


@pytest.mark.parametrize(
    ("argv", "code"),
    [
        ([], 0),
        (["--help"], 0),
        *((["--experiment_id=" + name, "--help"], 0) for name in EXPERIMENTS),
        (["--experiment_id=mnist", "--model=cnn", "--optimizer=sgd", "--help"], 0),
        (["--experiment_id=mnist", "--print_config"], 0),
        (["--experiment_id=mnist", "--epochz=1"], 2),
        (["--experiment_id=mnist", "--epochs=many"], 2),
        (["--experiment_id=mnits"], 2),
        (["completion", "bash"], 0),
        (["runs"], 0),
        (["show", "--help"], 0),
        (["lr-find", "mnist", "--help"], 0),
        (["data"], 0),
        (["data", "inof"], 2),
        (["data", "preview", "--help"], 0),
        (["resume", "nothing"], 2),
        (["completion", "zsh", "--experiment_id=mnist"], 0),
    ],
)
def test_command_leaves_heavy_libraries_alone(tmp_path: Path, argv: list[str], code: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, ROOT / "run.py", *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout.splitlines()[-2:] == [f"code {code}", "heavy []"], done.stderr


def test_completion_asks_commands_for_their_flags_alone(tmp_path: Path) -> None:
    found = ["labwright.commands.tool", "labwright.commands.verify", "labwright.runs.proof", "labwright.runs.code"]
    script = SCRIPT + f"print([name for name in {found} if name in sys.modules])"
    words = [sys.executable, "-c", script, ROOT / "run.py", "completion", "bash"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=600)
    assert done.stdout.splitlines()[-1] == "['labwright.commands.verify']", done.stderr


@pytest.mark.parametrize(
    "statement",
    [
        "import labwright",
        "import labwright.args, labwright.models, labwright.datasets, labwright.optimizers, labwright.schedulers",
        "from labwright.args import parse, completion, Args, ExperimentArgs, MachineConfig, RunOptions, Registry",
        "from labwright.models import MLPArgs, ModelUnion",
        "from labwright.optimizers import AdamArgs, OptimizerUnion",
        "import labwright.runs",
        "import labwright.cli",
        "from labwright import run, BareExperiment, Hook",
        "from labwright.loop import NestedLoop",
    ],
)
def test_import_leaves_heavy_libraries_alone(statement: str) -> None:
    check = f"{statement}\nimport sys\nprint([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=600)
    assert done.stdout == "[]\n", done.stderr
