import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from numpy.typing import NDArray
from sklearn.datasets import load_digits


class Digits(NamedTuple):
    images: NDArray[Any]  # [n, 8, 8] from 0 to 1
    targets: NDArray[Any]


@pytest.fixture
def texts() -> Callable[[Path], list[str]]:
    """Every text in an SVG picture: matplotlib leaves each as a comment beside its outlines."""

    def read(path: Path) -> list[str]:
        content = path.read_text(encoding="utf-8")
        return [re.sub(r"[−–]", "-", text.strip()) for text in re.findall(r"<!--(.*?)-->", content, re.DOTALL)]

    return read


@pytest.fixture(scope="session")
def digits() -> Digits:
    data: Any = load_digits()
    return Digits(data.images / 16, data.target)
