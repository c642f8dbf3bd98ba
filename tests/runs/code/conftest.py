"""What the tests of a run's code start from."""

from pathlib import Path

import pytest

from ...repositories import forget_settings, new_repository


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with two committed files, on the branch `trunk`."""
    forget_settings(monkeypatch, tmp_path)
    return new_repository(tmp_path / "lab", {"train.py": "print(1)\n", "model.py": "width = 8\n"})
