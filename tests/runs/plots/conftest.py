import re
from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def texts() -> Callable[[Path], list[str]]:
    """Every text in an SVG picture: matplotlib leaves each as a comment beside its outlines."""

    def read(path: Path) -> list[str]:
        content = path.read_text(encoding="utf-8")
        return [re.sub(r"[−–]", "-", text.strip()) for text in re.findall(r"<!--(.*?)-->", content, re.DOTALL)]

    return read
