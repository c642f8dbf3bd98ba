"""Small pictures to pack."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SavePicture = Callable[[Path, int], bytes]


@pytest.fixture
def save_picture() -> SavePicture:
    """Writes a picture of 5 x 4 pixels in the format that the name says, and gives its bytes."""

    def save(path: Path, shade: int = 0) -> bytes:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.arange(20, dtype=np.uint8).reshape(4, 5) + shade).save(path)
        return path.read_bytes()

    return save
