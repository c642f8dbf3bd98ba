"""run.json: what happened in a run, apart from its metrics."""

import time
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack, cast

from .directory import RunDirectory
from .durable import DiskError, Room, strict_json, write_durably
from .redaction import redact

_ROOM_TO_GROW = 65_536
"""Bytes by which a record may outgrow what it is when its room is taken: a long error, 200 files that are no code."""


class RunFacts(TypedDict, total=False):
    """The sections of run.json that the caller knows; times and status are the record's own."""

    experiment_id: str
    identity: str
    parent: dict[str, Any] | None
    resumes: list[dict[str, Any]]
    program: list[str]
    cwd: str
    flags: list[str]
    sources: dict[str, str]
    options: dict[str, Any]
    machine: dict[str, Any]
    versions: dict[str, str]
    host: dict[str, Any]
    device: str
    processor: str | None
    chosen: dict[str, Any]
    startup: dict[str, Any]
    debug: bool
    git: dict[str, Any] | None
    dataset: dict[str, Any]
    trackers: dict[str, Any]
    result: dict[str, Any]
    error: str


class RunRecord:
    """run.json while its run is on: on disk, whole and without secrets after each call."""

    def __init__(self, path: Path, content: dict[str, Any], secrets: Iterable[str] = ()) -> None:
        self.path = path
        self.content = content
        self._secrets = tuple(secrets)
        self.seconds_before: float = content.get("duration_seconds") or 0.0
        """How long the run had taken when it was taken up, as far as it was ended and not killed."""
        self._started = time.monotonic()
        self._room: Room | None = None

    @classmethod
    def start(cls, path: Path, *, secrets: Iterable[str] = (), **facts: Unpack[RunFacts]) -> Self:
        """The record of a run that begins now. Each section is there from the start, null until it is known."""
        sections = dict.fromkeys(RunFacts.__annotations__)
        times = {"status": "running", "started_at": _now(), "ended_at": None, "duration_seconds": None}
        record = cls(path, times | sections, secrets)
        record.update(**facts)
        return record

    @classmethod
    def resume(cls, run: RunDirectory, place: dict[str, Any], *, secrets: Iterable[str] = ()) -> Self:
        """The record of a run that goes on; `place` (epoch, step, ...) is noted under `resumes`."""
        content = dict.fromkeys(RunFacts.__annotations__) | run.record()
        content |= {"status": "running", "ended_at": None, "error": None, "result": None}
        content["resumes"] = [*(content["resumes"] or []), {"at": _now(), **place}]
        record = cls(run.record_path, content, secrets)
        record.update()
        return record

    def keep_room(self) -> None:
        """Take the space now that the run's end needs: a full disk, which ends it, could not be told of otherwise."""
        self._room = Room(self.path, len(self._text()) + _ROOM_TO_GROW)

    def update(self, **facts: Unpack[RunFacts]) -> None:
        """Replace the given sections."""
        # A package may have a name like a secret's, and its version is none.
        plain = {name: facts[name] for name in ("versions",) if name in facts}
        self.content.update({**redact(facts, self._secrets), **plain})
        self._write()

    def finish(self, status: Literal["finished", "failed", "interrupted"], **facts: Unpack[RunFacts]) -> None:
        """Say how the run ended, and its last facts: `result`, or `error`."""
        self.content["status"] = status
        self.content["ended_at"] = _now()
        self.content["duration_seconds"] = round(self.seconds_before + time.monotonic() - self._started, 3)
        try:
            self.update(**facts)
        except DiskError:
            if status == "finished" or self._room is None:
                raise
            self._room.fill(self._text())
        if self._room is not None:
            self._room.release()

    def _write(self) -> None:
        write_durably(self.path, self._text())

    def _text(self) -> bytes:
        return strict_json(self.content, indent=2) + b"\n"


def section(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object within a record; empty where there is none."""
    value = record.get(name)
    return cast(dict[str, Any], value) if isinstance(value, dict) else {}


def num_ranks_of(record: Mapping[str, Any]) -> int:
    """How many ranks the run had, when it was last gone on with."""
    return section(section(record, "chosen"), "ranks").get("world_size", 1)


def did_train(record: Mapping[str, Any]) -> bool:
    """Whether a run.json is that of a training, and not of a test or a prediction alone."""
    options = section(record, "options")
    return options.get("mode", "train") == "train" and not options.get("only_test")


def _now() -> str:
    return datetime.now().astimezone().isoformat(timespec="seconds")
