"""Stores of checkpoints to test with."""

from pathlib import Path

import pytest

from labwright.runs import CheckpointStore

from .saving import save, whole


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    return CheckpointStore(tmp_path / "run" / "checkpoints")


@pytest.fixture
def saved(tmp_path: Path) -> CheckpointStore:
    """Checkpoints of steps 10, 20 and 30; that of 10 is the best."""
    store = CheckpointStore(tmp_path / "run" / "checkpoints", keep_last=2)
    for step in (10, 20, 30):
        save(store, step, is_best=step == 10, data=whole(step))
    return store
