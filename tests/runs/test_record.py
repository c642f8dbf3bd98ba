import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from labwright.runs import DiskError
from labwright.runs.record import RunRecord


def read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_bytes())


def test_a_record_tells_the_run_from_start_to_end(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    record = RunRecord.start(path, experiment_id="mnist", options={"tags": ["a"]}, git=None)
    running = read(path)
    assert running["status"] == "running"
    assert running["options"] == {"tags": ["a"]}
    assert running["ended_at"] is running["duration_seconds"] is running["result"] is None

    record.update(device="cpu", dataset={"name": "digits", "fingerprint": "ab"})
    record.finish("finished", result={"test": {"accuracy": 0.97, "loss": float("nan")}})
    finished = read(path)
    assert finished["status"] == "finished"
    assert finished["dataset"] == {"name": "digits", "fingerprint": "ab"}
    assert finished["result"] == {"test": {"accuracy": 0.97, "loss": None}}
    assert finished["duration_seconds"] >= 0
    start, end = (datetime.fromisoformat(finished[name]) for name in ("started_at", "ended_at"))
    assert start.tzinfo is not None
    assert start <= end


def test_every_record_has_the_same_sections(tmp_path: Path) -> None:
    RunRecord.start(tmp_path / "run.json")
    assert list(read(tmp_path / "run.json")) == [
        "status",
        "started_at",
        "ended_at",
        "duration_seconds",
        "experiment_id",
        "identity",
        "parent",
        "resumes",
        "program",
        "cwd",
        "flags",
        "sources",
        "options",
        "machine",
        "versions",
        "host",
        "device",
        "processor",
        "chosen",
        "startup",
        "debug",
        "git",
        "dataset",
        "trackers",
        "result",
        "error",
    ]


def test_a_failed_run_says_why(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    RunRecord.start(path).finish("failed", error="RuntimeError: boom")
    assert (read(path)["status"], read(path)["error"]) == ("failed", "RuntimeError: boom")


def test_a_run_that_a_full_disk_ended_says_so(tmp_path: Path, full_disk: Callable[[], None]) -> None:
    path = tmp_path / "run.json"
    record = RunRecord.start(path)
    record.keep_room()
    full_disk()
    with pytest.raises(DiskError):
        record.finish("finished")
    assert read(path)["status"] == "running"
    record.finish("failed", error="DiskError: model.safetensors cannot be written")
    assert (read(path)["status"], read(path)["error"][:9]) == ("failed", "DiskError")
    assert os.listdir(tmp_path) == ["run.json"]


def test_the_room_for_the_end_is_given_back_at_the_end(tmp_path: Path) -> None:
    record = RunRecord.start(tmp_path / "run.json")
    record.keep_room()
    assert len(os.listdir(tmp_path)) == 2
    record.finish("finished")
    assert os.listdir(tmp_path) == ["run.json"]


def test_no_secret_reaches_the_record(tmp_path: Path) -> None:
    """Seen in the template: the W&B key was copied into config.json."""
    path = tmp_path / "run.json"
    record = RunRecord.start(
        path,
        secrets=["hunter22"],
        machine={"wandb_api_key": "another-key", "results_dir": "/home/hunter22/results"},
        options={"run_name": "with hunter22"},
    )
    record.finish("failed", error="401 for token hunter22")
    content = path.read_text()
    assert "hunter22" not in content
    assert "another-key" not in content
    assert read(path)["error"] == "401 for token ********"
