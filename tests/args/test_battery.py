"""The command line's conformance battery: 151 cases of models, lines and what must come of them."""

import subprocess
import sys
from pathlib import Path

BATTERY = Path(__file__).parent / "battery" / "check.py"


def test_every_case_of_the_battery_passes() -> None:
    done = subprocess.run([sys.executable, "-W", "ignore", BATTERY], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "'fail': 0} of 151" in done.stdout
