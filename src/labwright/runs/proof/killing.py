"""Killing a run at random steps and resuming it, in real processes, as a machine that fails does."""

import random
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..checkpoints.index import CheckpointEntry
from ..checkpoints.store import CheckpointStore
from ..directory import RunDirectory
from .repetition import Repetition, begun_run, last_words, run_within

_SLICE_SECONDS = 0.002
_MOST_MORE_SLICES = 4
"""A kill comes up to so many slices after the checkpoint it waits for: at any moment, not only right after one."""
_ATTEMPTS = 5

Say = Callable[[str], None]


@dataclass(frozen=True)
class Kill:
    """How far the newest checkpoint of a killed process was."""

    step: int
    epoch: int
    is_telling: bool
    """Whether a resume had to go on from a checkpoint, or anew where there is none before the end."""


class KillingFailed(Exception):
    """A process did not end as it should; the text says how."""


@dataclass
class Killing:
    """Runs that are killed and resumed, each until it has been killed often enough or ends before."""

    repetition: Repetition
    changes: Mapping[str, Any]
    without: tuple[str, ...]
    log: Path
    patience: float
    """Seconds after which a process hangs."""
    say: Say
    kills: list[Kill] = field(default_factory=list[Kill])
    """Those of the last run."""

    def run(self, folder: Path, undisturbed: RunDirectory, num_kills: int, chance: random.Random) -> RunDirectory:
        """What is left in the end of a run that had a telling kill, if one can be had at all.

        Training that is over too fast is watched more closely, and killed earlier, in a next attempt.

        Raises:
            KillingFailed: a process that was not killed failed, or hangs.
        """
        for attempt in range(1, _ATTEMPTS):
            run = self._attempt(folder, undisturbed, num_kills, chance, attempt)
            if any(kill.is_telling for kill in self.kills):
                return run
        return self._attempt(folder, undisturbed, num_kills, chance, _ATTEMPTS)

    def _attempt(
        self, folder: Path, undisturbed: RunDirectory, num_kills: int, chance: random.Random, number: int
    ) -> RunDirectory:
        self.kills.clear()
        life = _Life(self, folder / f"killed_{number}", undisturbed, _SLICE_SECONDS / number, chance)
        possible = range(1, max(2, life.total // number)) if life.total else [0]
        life.live(sorted(chance.choices(possible, k=num_kills)))
        return run_within(life.results)


class _Life:
    """One run, from its start over its kills to its end."""

    def __init__(
        self, killing: Killing, results: Path, undisturbed: RunDirectory, slice_seconds: float, chance: random.Random
    ) -> None:
        self.results = results
        self._killing = killing
        self._slice_seconds = slice_seconds
        self._chance = chance
        index = _index(undisturbed)
        last = index.get("last")
        self._unit = "step" if last is not None and last["step"] else "epoch"
        self.total = self._progress(last) if "last_2" in index else 0
        """How far the last checkpoint is; 0 where there is none before it."""

    def live(self, targets: list[int]) -> None:
        """Run it to its end, killed after so many steps each time; the kills are noted as they happen."""
        killing = self._killing
        command = killing.repetition.begin_command(self.results, killing.changes, killing.without)
        for target in targets:
            if not self._is_killed(command, target):
                return
            command = killing.repetition.resume_command(run_within(self.results))
        with killing.repetition.process(command, killing.log) as process:
            self._await(process)

    def _progress(self, entry: Mapping[str, Any] | None) -> int:
        """How far a checkpoint is, in steps, or in epochs where steps are not counted."""
        return 0 if entry is None else entry[self._unit] or 0

    def _is_killed(self, command: list[str], target: int) -> bool:
        """Kill the process a little after it has come to the target; False: it ended before."""
        with self._killing.repetition.process(command, self._killing.log) as process:
            gives_up_at = time.monotonic() + self._killing.patience
            num_more = self._chance.randint(0, _MOST_MORE_SLICES)
            while process.poll() is None:
                process.send_signal(signal.SIGSTOP)  # while it is looked at nothing happens
                progress = self._kept_progress()
                if progress is not None and progress >= target:
                    num_more -= 1
                    if num_more < 0 or progress > target:
                        break
                process.send_signal(signal.SIGCONT)
                time.sleep(self._slice_seconds)
                if time.monotonic() > gives_up_at:
                    raise self._late()
            process.kill()
            if process.wait() >= 0:
                self._await(process)
                return False
        self._note_kill()
        return True

    def _kept_progress(self) -> int | None:
        """How far the newest checkpoint is; None until the process has begun the run, or taken it up."""
        run = begun_run(self.results)
        if run is None or len(run.record().get("resumes") or []) < len(self._killing.kills):
            return None
        return self._progress(_index(run).get("last"))

    def _note_kill(self) -> None:
        entry = _index(run_within(self.results)).get("last")
        step, epoch = (entry["step"], entry["epoch"] or 0) if entry else (0, 0)
        progress = self._progress(entry)
        self._killing.kills.append(Kill(step, epoch, is_telling=0 < progress < self.total or not self.total))
        self._killing.say(f"killed after {self._unit} {progress}")

    def _await(self, process: "subprocess.Popen[bytes]") -> None:
        """Raise a KillingFailed unless the process ends well in time."""
        try:
            code = process.wait(self._killing.patience)
        except subprocess.TimeoutExpired:
            raise self._late() from None
        if code:
            log = self._killing.log
            raise KillingFailed(f"{self._subject()} ended with exit code {code}: {last_words(log)}")

    def _late(self) -> KillingFailed:
        return KillingFailed(f"{self._subject()} did not end within {self._killing.patience:.0f} s")

    def _subject(self) -> str:
        num_kills = len(self._killing.kills)
        return f"resumed after kill {num_kills}, it" if num_kills else "it"


def _index(run: RunDirectory) -> dict[str, CheckpointEntry]:
    return CheckpointStore(run.checkpoints_path).read_index()
