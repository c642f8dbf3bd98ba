"""What the command line costs before anything runs, against importing pydantic and making one model class.

    python benchmarks/startup.py [--rounds=15]

CPU time (user and system) of whole processes with bytecode cached, interleaved so that a busy machine slows all alike;
medians. Prints a Markdown table and exits 1 where a command costs more than 1.6 times the baseline.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LIMIT = 1.6
PYTHON = [sys.executable]
BASELINE = "import pydantic; class X"
COMMANDS = {
    BASELINE: [*PYTHON, "-c", "import pydantic\nclass X(pydantic.BaseModel):\n    x: int = 1"],
    "run.py": [*PYTHON, "run.py"],
    "run.py --experiment_id=mnist --help": [*PYTHON, "run.py", "--experiment_id=mnist", "--help"],
    "run.py --experiment_id=mnist --epochz=1": [*PYTHON, "run.py", "--experiment_id=mnist", "--epochz=1"],
    "run.py completion bash": [*PYTHON, "run.py", "completion", "bash"],
}


def main() -> int:
    rounds = _rounds()
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(rounds + 1):
        for name, command in COMMANDS.items():
            spent = cpu_seconds(command)
            if number:  # the first round writes bytecode
                seconds[name].append(spent)
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    print("| command | CPU ms | ratio |\n|---|---:|---:|")
    for name, median in medians.items():
        print(f"| `{name}` | {median * 1000:.0f} | {median / medians[BASELINE]:.2f} |")
    return int(max(medians.values()) > LIMIT * medians[BASELINE])


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one process."""
    env = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    process.returncode = 0  # it has been waited for
    return usage.ru_utime + usage.ru_stime


def _rounds() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    return parser.parse_args().rounds


if __name__ == "__main__":
    sys.exit(main())
