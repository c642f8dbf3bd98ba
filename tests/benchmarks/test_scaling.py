"""The benchmark of scaling: every case of it is a run that works."""

import subprocess
from collections.abc import Callable

import pytest


@pytest.mark.slow
def test_it_measures_epochs_and_every_extra(benchmark: Callable[..., subprocess.CompletedProcess[str]]) -> None:
    ended = benchmark("scaling.py", "--epochs=30", "--rounds=1", "--steps=2")
    assert ended.returncode in (0, 1), ended.stderr
    assert "Traceback" not in ended.stderr
    assert "| a step, microseconds |" in ended.stdout
    assert "| 20 metrics |" in ended.stdout and "| a checkpoint every 20 steps |" in ended.stdout
