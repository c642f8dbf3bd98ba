"""What experiments are tried with: a Python that has no torch, a Fashion-MNIST that is noise."""

import gzip
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
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
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600)
        assert done.returncode == 0 and "warning" not in done.stderr, done.stderr
        [record] = (tmp_path / "results").rglob("run.json")
        return record.parent

    return run


@pytest.fixture
def noise_for_fashion_mnist(tmp_path: Path) -> None:
    """The four files of a Fashion-MNIST that is noise, where the experiment looks for them."""
    folder = tmp_path / "cache" / "fashion_mnist"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for prefix, count in (("train", 300), ("t10k", 60)):
        labels, images = np.arange(count) % 10, rng.integers(256, size=(count, 28, 28))
        for kind, array in (("labels-idx1", labels), ("images-idx3", images)):
            header = struct.pack(f">I{array.ndim}I", 2048 + array.ndim, *array.shape)
            content = header + array.astype(np.uint8).tobytes()
            (folder / f"{prefix}-{kind}-ubyte.gz").write_bytes(gzip.compress(content, mtime=0))
