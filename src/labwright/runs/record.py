"""run.json: what happened in a run, apart from its metrics."""

import time
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack

from .durable import strict_json, write_durably
from .provenance import GitState
from .redaction import redact


class RunFacts(TypedDict, total=False):
    """The sections of run.json that the caller knows; times and status are the record's own."""

    experiment_id: str
    options: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    host: dict[str, Any]
    device: str
    debug: bool
    git: GitState | None
    dataset: dict[str, Any]
    result: dict[str, Any]
    error: str


class RunRecord:
    """run.json while its run is on: on disk, whole and without secrets after each call."""

    def __init__(self, path: Path, content: dict[str, Any], secrets: Iterable[str] = ()) -> None:
        self.path = path
        self.content = content
        self._secrets = tuple(secrets)
        self._started = time.monotonic()

    @classmethod
    def start(cls, path: Path, *, secrets: Iterable[str] = (), **facts: Unpack[RunFacts]) -> Self:
        """The record of a run that begins now. Each section is there from the start, null until it is known."""
        sections = dict.fromkeys(RunFacts.__annotations__)
        times = {"status": "running", "started_at": _now(), "ended_at": None, "duration_seconds": None}
        record = cls(path, times | sections, secrets)
        record.update(**facts)
        return record

    def update(self, **facts: Unpack[RunFacts]) -> None:
        """Replace the given sections."""
        self.content.update(redact(facts, self._secrets))
        self._write()

    def finish(self, status: Literal["finished", "failed", "interrupted"], **facts: Unpack[RunFacts]) -> None:
        """Say how the run ended, and its last facts: `result`, or `error`."""
        self.content["status"] = status
        self.content["ended_at"] = _now()
        self.content["duration_seconds"] = round(time.monotonic() - self._started, 3)
        self.update(**facts)

    def _write(self) -> None:
        write_durably(self.path, strict_json(self.content, indent=2) + b"\n")


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
