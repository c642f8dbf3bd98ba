import os
from pathlib import Path

import numpy as np
import pytest

from labwright.shards import ShardDataset
from labwright.shards.disk_watch import DiskWatch
from tests.shards.conftest import values


def test_watch_is_cold_while_blocks_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    class Usage:
        ru_majflt = 100
        ru_inblock = 1000

    monkeypatch.setattr("resource.getrusage", lambda who: Usage)
    monkeypatch.setattr("labwright.shards.disk_watch.LOOK_EVERY", 1)
    watch = DiskWatch()
    seen: list[bool] = []
    for waits, blocks in ((0, 0), (3, 24), (40, 320), (0, 500), (0, 0), (0, 0)):
        Usage.ru_majflt += waits
        Usage.ru_inblock += blocks
        watch.look()
        seen.append(watch.is_cold)
    assert seen == [False, False, True, True, False, False]


@pytest.mark.parametrize("fields", [["npy"], ["cls"]])
def test_what_is_told_to_the_system_changes_nothing(
    dataset: Path, fields: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    warm = ShardDataset(dataset, fields=fields).__getitems__([9, 0, 4])
    if hasattr(os, "posix_fadvise"):
        for path in dataset.glob("*.tar"):
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    monkeypatch.setattr(DiskWatch, "look", lambda self: setattr(self, "is_cold", True))
    cold = ShardDataset(dataset, fields=fields).__getitems__([9, 0, 4])
    assert cold[fields[0]].tolist() == warm[fields[0]].tolist()
    if fields == ["npy"]:
        assert (np.asarray(cold["npy"][1]) == values(0)).all()
