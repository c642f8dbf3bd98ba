"""Benchmarks are scripts; tests run them as such, at sizes that take seconds, or look at their functions."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
Benchmark = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def benchmark(tmp_path: Path) -> Benchmark:
    """Runs a script of benchmarks/ in an empty folder."""

    def run(script: str, *words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, str(BENCHMARKS / script), *words]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)

    return run
