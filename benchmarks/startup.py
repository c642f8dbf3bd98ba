"""What starting costs: a command before anything runs, a training to its first step, and a short one as a whole.

    python benchmarks/startup.py [--rounds=15] [--training-rounds=5] [--samples=60000]

CPU time (user and system) of whole processes with bytecode cached, interleaved so that a busy machine slows all alike;
medians. Commands are held against importing pydantic and making one model class. Trainings are those of the mnist
experiment on synthetic images in MNIST's files, from a copy of the lab with a git repository of its own, held against
`benchmarks/starts/by_hand.py`. Prints Markdown tables and exits 1 where a limit is passed: 1.6 times the baseline for a
command; 0.4 s more than the script to the first step, and less than the script once it makes a torch optimizer; 1 s
more than the script for three epochs, test, plots and exit.
"""

import argparse
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
STARTS = ROOT / "benchmarks" / "starts"
LIMIT = 1.6
FIRST_STEP_SECONDS, RUN_SECONDS = 0.4, 1.0
"""What labwright may cost more than a script that does the same."""
PYTHON = [sys.executable]
BASELINE, MISTYPED = "import pydantic; class X", "--epochz=1"
COMMANDS = {
    BASELINE: [*PYTHON, "-c", "import pydantic\nclass X(pydantic.BaseModel):\n    x: int = 1"],
    "run.py": [*PYTHON, "run.py"],
    "run.py --experiment_id=mnist --help": [*PYTHON, "run.py", "--experiment_id=mnist", "--help"],
    "run.py --experiment_id=mnist --epochz=1": [*PYTHON, "run.py", "--experiment_id=mnist", MISTYPED],
    "run.py completion bash": [*PYTHON, "run.py", "completion", "bash"],
}
PLAIN, ADAM, LABWRIGHT = "script, SGD by hand", "script, torch.optim.Adam", "labwright, all defaults"


def main() -> int:
    given = _given()
    commands = medians(COMMANDS, ROOT, given.rounds)
    print("| command | CPU ms | ratio |\n|---|---:|---:|")
    for name, median in commands.items():
        print(f"| `{name}` | {median * 1000:.0f} | {median / commands[BASELINE]:.2f} |")
    with tempfile.TemporaryDirectory() as folder:
        lab = Path(folder)
        write_lab(lab, given.samples)
        first = medians(_first_steps(), lab, given.training_rounds)
        whole = medians(_whole_runs(), lab, given.training_rounds)
    for title, found in (("to the first step", first), ("three epochs, start to exit", whole)):
        print(f"\n| {title} | CPU s | more than the script |\n|---|---:|---:|")
        script = next(iter(found.values()))
        for name, median in found.items():
            print(f"| {name} | {median:.2f} | {median - script:+.2f} |")
    failures = {
        f"a command costs more than {LIMIT} times the baseline": max(commands.values()) > LIMIT * commands[BASELINE],
        f"the first step comes over {FIRST_STEP_SECONDS} s after the script's": first[LABWRIGHT]
        > first[PLAIN] + FIRST_STEP_SECONDS,
        "the first step comes after that of the script with an optimizer": first[LABWRIGHT] > first[ADAM],
        f"a short run costs over {RUN_SECONDS} s more than the script": whole[LABWRIGHT] > whole[ADAM] + RUN_SECONDS,
    }
    for failure, is_one in failures.items():
        if is_one:
            print(f"not as promised: {failure}", file=sys.stderr)
    return int(any(failures.values()))


def medians(commands: Mapping[str, list[str]], folder: Path, rounds: int) -> dict[str, float]:
    """CPU seconds of each command, run in turns of shuffled order; a first turn writes bytecode."""
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for number in range(rounds + 1):
        for name in random.Random(number).sample(list(commands), len(commands)):
            spent = cpu_seconds(commands[name], folder)
            if number:
                seconds[name].append(spent)
    return {name: statistics.median(spent) for name, spent in seconds.items()}


def cpu_seconds(command: list[str], folder: Path) -> float:
    """User and system time of one process and of those that it waited for."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    env["CUDA_VISIBLE_DEVICES"] = ""
    with tempfile.TemporaryFile() as shown:
        process = subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, stderr=shown)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != (2 if MISTYPED in command else 0):
            shown.seek(0)
            raise SystemExit(f"{' '.join(command)} ended with {process.returncode}:\n{shown.read().decode()}")
    return usage.ru_utime + usage.ru_stime


def write_lab(folder: Path, num_samples: int) -> None:
    """A copy of this lab in a git repository, and images in files like those of MNIST in its cache."""
    for name in ("run.py", "pyproject.toml"):
        shutil.copy(ROOT / name, folder / name)
    for script in STARTS.glob("*.py"):
        shutil.copy(script, folder / script.name)
    shutil.copytree(ROOT / "src" / "lab", folder / "src" / "lab", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / ".gitignore").write_text("/cache/\n/results/\n__pycache__/\nconfig.yaml\nmodel.pt\n")
    identity = ["-c", "user.name=benchmark", "-c", "user.email=benchmark@localhost"]
    for words in (["init"], ["add", "."], [*identity, "commit", "--message=lab"]):
        subprocess.run(["git", *words], cwd=folder, check=True, capture_output=True)
    _write_images(folder / "cache" / "mnist", num_samples)


def _write_images(folder: Path, num_samples: int) -> None:
    sys.path.insert(0, str(ROOT / "benchmarks" / "loops"))
    from work import Work

    folder.mkdir(parents=True)
    inputs, targets, val_inputs, val_targets = Work("tiny", num_samples, 1).sets()
    for name, images, labels in (("train", inputs, targets), ("t10k", val_inputs, val_targets)):
        count = len(images).to_bytes(4)
        side = (28).to_bytes(4)
        head = bytes([0, 0, 8, 3]) + count + side + side
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + images.numpy().tobytes())
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(
            bytes([0, 0, 8, 1]) + count + labels.byte().numpy().tobytes()
        )


def _first_steps() -> dict[str, list[str]]:
    script = [*PYTHON, "by_hand.py", "cache", "--first-step"]
    labwright = [*PYTHON, "first_step.py", "--batch_size=64", "--epochs=3"]
    return {PLAIN: [*script, "--plain-sgd"], ADAM: script, LABWRIGHT: labwright}


def _whole_runs() -> dict[str, list[str]]:
    labwright = [*PYTHON, "run.py", "--experiment_id=mnist", "--batch_size=64", "--epochs=3"]
    return {ADAM: [*PYTHON, "by_hand.py", "cache"], LABWRIGHT: labwright}


def _given() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--training-rounds", type=int, default=5)
    parser.add_argument("--samples", type=int, default=60_000)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
