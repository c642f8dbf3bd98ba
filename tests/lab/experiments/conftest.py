"""A command line in a Python that has no torch."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

RUN_PY = Path(__file__).parents[3] / "run.py"
WITHOUT_TORCH = """
import runpy, sys

class NoTorch:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchmetrics"):
            raise ImportError(f"{name} is not installed")

sys.meta_path.insert(0, NoTorch())
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def run_without_torch(tmp_path: Path) -> Callable[..., Path]:
    """`run.py WORDS` in a fresh Python where importing torch raises; the run directory it left."""

    def run(*words: str) -> Path:
        command = [sys.executable, "-W", "error", "-c", WITHOUT_TORCH, RUN_PY, *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
        [record] = (tmp_path / "results").rglob("run.json")
        return record.parent

    return run
