"""What command.sh is told of how a run was started."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.args import MachineConfig, RunOptions
from labwright.runs.command import on_ranks
from labwright.session.launch import Launch, changed_fields, flags_of

pytestmark = pytest.mark.usefixtures("no_pictures")


def test_flags_say_what_differs_and_no_secret() -> None:
    machine = MachineConfig.model_validate({"num_workers": 2, "wandb_api_key": "swordfish"})
    assert flags_of(machine, changed_fields(machine)) == ["--num_workers=2"]
    options = RunOptions(tags=("a", "b c"), run_name="first")
    assert flags_of(options, changed_fields(options)) == ["--run_name=first", '--tags=["a", "b c"]']


def test_run_started_from_python_keeps_its_options(make: Callable[..., Any]) -> None:
    run = make().run(RunOptions(overlap="allow", log_every_n_steps=7)).run_dir
    command = (run / "command.sh").read_text()
    assert "--overlap=allow" in command and "--log_every_n_steps=7" in command and "--results_dir=" in command


def test_options_of_a_preset_are_repeated(command_line: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "quick.yaml").write_text("epochs: 0\nlog_every_n_steps: 9\nnum_workers: 0\n")
    run = command_line(
        "--experiment_id=digits", "--config=quick.yaml", "--use_cuda=false", "--limit_train_samples=64"
    ).run
    command = (run / "command.sh").read_text()
    assert "--log_every_n_steps=9" in command and "--num_workers=0" in command and "--use_cuda=false" in command
    assert "--config=quick.yaml" in command.splitlines()[2], "what was typed stands in the comment alone"
    assert command.count("quick.yaml") == 1


def test_code_is_looked_for_where_the_script_lies() -> None:
    assert Launch(("python", "/lab/run.py"), Path("/elsewhere")).code_dir == Path("/lab")
    assert Launch(("python", "-m", "labwright"), Path("/elsewhere")).code_dir == Path("/elsewhere")


def test_several_ranks_go_on_by_torchrun() -> None:
    launch = Launch(("python", "/lab/run.py"), Path("/lab"))
    assert launch.resume_command(Path("/lab/results/a")) == "python run.py resume results/a"
    expected = "torchrun --nproc_per_node=2 run.py resume results/a"
    assert launch.resume_command(Path("/lab/results/a"), 2) == expected
    expected = "torchrun --nproc_per_node=2 -m labwright resume a"
    assert Launch(cwd=Path("/lab")).resume_command(Path("/lab/a"), 2) == expected


def test_command_of_several_ranks_starts_as_many() -> None:
    launch = Launch(("python", "/lab/run.py"), Path("/lab"))
    assert on_ranks(launch.program, 1) == launch.program
    expected = "python -m torch.distributed.run --standalone --nproc_per_node=2 /lab/run.py"
    assert " ".join(on_ranks(launch.program, 2)) == expected
    assert on_ranks(("python", "-m", "own.train"), 3)[-3:] == ("--nproc_per_node=3", "-m", "own.train")


@pytest.mark.slow
def test_module_is_repeated_as_a_module_whatever_the_environment_says(tmp_path: Path) -> None:
    """A package run with -m uses relative imports; a variable set later would override args.yaml."""
    package = tmp_path / "own"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "tiny.py").write_text("from labwright.datasets import DigitsDataArgs as Data\n")
    (package / "train.py").write_text(
        "from labwright import Experiment, ExperimentArgs, MachineConfig, main\n"
        "from labwright.models import MLPArgs\n"
        "from labwright.optimizers import SGDArgs\n"
        "from .tiny import Data\n\n"
        "class TinyArgs(ExperimentArgs):\n"
        "    model: MLPArgs = MLPArgs()\n"
        "    dataset: Data = Data()\n"
        "    optimizer: SGDArgs = SGDArgs()\n"
        "    def build(self, machine: MachineConfig) -> Experiment:\n"
        "        return Experiment(self, machine)\n\n"
        "if __name__ == '__main__':\n"
        "    main(TinyArgs)\n"
    )
    words = [sys.executable, "-m", "own.train", "--epochs=1", "--limit_train_samples=64", "--use_cuda=false", "--json"]
    first = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
    run = Path(json.loads(first.stdout)["run_dir"])
    moved = shutil.move(run, tmp_path / "kept here")
    again = subprocess.run(
        ["sh", f"{moved}/command.sh", "--json"],
        cwd="/",
        env={**os.environ, "LABWRIGHT_EPOCHS": "3"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(again.stdout)["epochs"] == 1
    assert json.loads(again.stdout)["test"] == json.loads(first.stdout)["test"]
