"""Mistakes that the kill tests must find: each a line of the source replaced, and who is to notice.

A mutant is a copy of `src` in which one text, that stands there exactly once, is another. Where the source has changed
so that it stands there no more, `apply` says so: give the mutant the new text, or a new place.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos import scenarios
from tests.chaos.harness import SRC, Lab, Trial, copy_source
from tests.chaos.scenarios import Reference

References = dict[str, Reference]
Detector = Callable[[Lab, References], None]


def on(experiment: str, scenario: Callable[..., None], *args: Any, **options: Any) -> Detector:
    """The scenario, with a run of this experiment."""

    def detect(lab: Lab, references: References) -> None:
        scenario(lab.trial(experiment), references[experiment], *args, **options)

    return detect


def killed_within_an_epoch(trial: Trial, reference: Reference, share: float = 0.65) -> None:
    """SIGKILL after this share of the run, in the middle of an epoch"""
    scenarios.kill_in_the_middle(trial, reference, share)
    trial.finish()
    trial.require_same(reference.outcome)


def killed_between_rows_and_checkpoint(trial: Trial, reference: Reference) -> None:
    """SIGKILL when an epoch's rows are written and its checkpoint is not"""
    fault = trial.fault(mode="kill", match=r"rename \S*/checkpoints/\.step_00000022", at=1)
    assert trial.end_killed(trial.begin(fault=fault)), trial.story()
    trial.finish()
    trial.require_same(reference.outcome)


def power_lost_at_a_deletion(trial: Trial, reference: Reference, loss: str) -> None:
    """power loss when an old checkpoint has just been deleted"""
    fault: dict[str, Any] = {"mode": "power", "match": r"unlink \S*/checkpoints/step_", "at": 2, "loss": loss}
    assert trial.end_killed(trial.begin(fault=trial.fault(**fault))), trial.story()
    trial.finish()
    trial.require_same(reference.outcome)


def power_lost_after_an_epoch(trial: Trial, reference: Reference, loss: str) -> None:
    """power loss when the checkpoint after that of an epoch has its name"""
    fault: dict[str, Any] = {"mode": "power", "match": r"rename \S*/checkpoints/\.step_00000024", "at": 1, "loss": loss}
    assert trial.end_killed(trial.begin(fault=trial.fault(**fault))), trial.story()
    trial.finish()
    trial.require_same(reference.outcome)


def killed_while_it_writes(trial: Trial, reference: Reference, mode: str, match: str, at: int = 3) -> None:
    """SIGKILL in the middle of a write"""
    fault: dict[str, Any] = {"mode": mode, "match": match, "at": at}
    if trial.end_killed(trial.begin(fault=trial.fault(**fault))):
        trial.finish()
    trial.require_same(reference.outcome)


def killed_while_it_stops(trial: Trial, reference: Reference) -> None:
    """SIGKILL when the checkpoint that a SIGTERM asked for is there, and the index does not name it yet"""
    fault = trial.fault(mode="kill", match=f"open{INDEX}", at=4)
    assert trial.end_killed(trial.begin(fault=fault, signals="SIGTERM@training:20")), trial.story()
    trial.finish()
    trial.require_same(reference.outcome)


def damaged(trial: Trial, reference: Reference, name: str) -> None:
    """a damaged checkpoint"""
    scenarios.kill_in_the_middle(trial, reference)
    scenarios.damage_newest(trial, reference, name)


@dataclass(frozen=True)
class Mutant:
    """`old`, which stands once in `file`, becomes `new`; `detect` must fail."""

    name: str
    file: str
    old: str
    new: str
    detect: Detector
    caught_by: str


INDEX = r" \S*/checkpoints/\S*index\.json"
MUTANTS = (
    Mutant(
        "files are not synced",
        "runs/durable.py",
        "                file.flush()\n                os.fsync(file.fileno())\n",
        "                file.flush()\n",
        on("mlp", power_lost_at_a_deletion, "contents"),
        "power loss that takes what was not synced",
    ),
    Mutant(
        "directories are not synced",
        "runs/durable.py",
        '    if os.name == "nt":  # directories',
        "    if os.name:  # directories",
        on("mlp", power_lost_at_a_deletion, "renames"),
        "power loss that takes new names",
    ),
    Mutant(
        "files are written under their own name",
        "runs/durable.py",
        "    temporary = _temporary_of(path)\n",
        "    temporary = path\n    path.unlink(missing_ok=True)\n",
        on("mlp", killed_while_it_writes, "torn", f"write{INDEX}"),
        "SIGKILL in the middle of a write",
    ),
    Mutant(
        "files are staged in the temporary folder, and copied as across file systems",
        "runs/durable.py",
        "            os.replace(temporary, path)\n",
        "            import shutil\n            import tempfile\n"
        "            staged = shutil.move(temporary, tempfile.mkdtemp())\n"
        "            shutil.copyfile(staged, path)\n            os.unlink(staged)\n",
        on("mlp", killed_while_it_writes, "after", r"open \S*/checkpoints/index\.json"),
        "SIGKILL after a file was opened",
    ),
    Mutant(
        "temporary files of killed writes stay",
        "runs/checkpoints/store.py",
        "        removed = [path for folder in folders for path in remove_temporaries(folder)]",
        "        removed = []",
        on("mlp", killed_while_it_writes, "torn", f"write{INDEX}"),
        "SIGKILL in the middle of a write",
    ),
    Mutant(
        "checkpoints that the index does not name stay",
        "runs/checkpoints/store.py",
        "        orphans = [path for path in self._files() if path.name not in named]",
        "        orphans = []",
        on("mlp", killed_while_it_stops),
        "SIGKILL between a checkpoint and the index",
    ),
    Mutant(
        "old checkpoints are deleted before the new one is there",
        "runs/checkpoints/store.py",
        "        digest = write_durably(path, data)\n",
        "        for entry in ranked(previous, 'last')[1:]:\n"
        "            if entry not in ranked(previous, 'best'):\n"
        "                remove_file(self.directory / entry['file'])\n"
        "        digest = write_durably(path, data)\n",
        on("mlp", killed_while_it_writes, "kill", r"rename \S*/checkpoints/\.step_"),
        "SIGKILL before a checkpoint has its name",
    ),
    Mutant(
        "checksums are not compared",
        "runs/checkpoints/damage.py",
        "    if file_sha256(path) != sha256:",
        "    if False:",
        on("mlp", damaged, "a flipped bit"),
        "a flipped bit",
    ),
    Mutant(
        "there is no way back to an older checkpoint",
        "runs/checkpoints/store.py",
        "                rejected.append(str(error))\n                continue\n",
        "                raise\n",
        on("mlp", damaged, "truncated"),
        "a truncated checkpoint",
    ),
    Mutant(
        "the state of the optimizer is left out",
        "session/torch_parts.py",
        '        load_optimizer(experiment.world, optimizer, state["optimizers"][key])\n',
        "        pass\n",
        on("mlp", killed_within_an_epoch),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "the state of the schedule is left out",
        "session/torch_parts.py",
        '        scheduler.load_state_dict(state["schedulers"][key])\n',
        "        pass\n",
        on("mlp", killed_within_an_epoch),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "the average of the weights is left out",
        "session/torch_parts.py",
        '    experiment.stepper.load_state_dict(state["stepper"])\n    experiment.rng_before',
        "    experiment.rng_before",
        on("mlp", killed_within_an_epoch),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "random numbers do not go on where they were",
        "train/loop.py",
        "        set_rng_state(self.rng_before)\n",
        "",
        on("mlp", killed_within_an_epoch),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "an epoch begins again with its first batch",
        "train/loop.py",
        "            dataset.start_at(self._num_batches)\n",
        "",
        on("mlp", killed_within_an_epoch),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "what an epoch has measured so far is left out",
        "train/passes.py",
        '        self.meter.load_state_dict(measured["meter"], self.device)\n',
        "",
        on("mlp", killed_within_an_epoch),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "the best epoch so far is forgotten",
        "session/state.py",
        '    experiment.best.load_state_dict(state["best"])\n',
        "",
        on("mlp", killed_within_an_epoch, 0.95),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "rows of the history that belong to no checkpoint stay",
        "session/recorder.py",
        'History.load(self.directory.history_path, counts["history"], sync=False)',
        "History.load(self.directory.history_path, sync=False)",
        on("mlp", killed_between_rows_and_checkpoint),
        "SIGKILL between an epoch's rows and its checkpoint",
    ),
    Mutant(
        "rows of steps that belong to no checkpoint stay",
        "session/recorder.py",
        'len(cut_rows(self.directory.steps_path, counts["steps"]))',
        "len(cut_rows(self.directory.steps_path))",
        on("mlp", killed_within_an_epoch),
        "SIGKILL within an epoch",
    ),
    Mutant(
        "the run is not locked",
        "runs/lock.py",
        "            return fcntl.flock(descriptor, kind | fcntl.LOCK_NB)",
        "            return None",
        on("mlp", scenarios.resume_twice_at_once),
        "two resumes at once",
    ),
    Mutant(
        "fingerprints of steps that belong to no checkpoint stay",
        "session/recorder.py",
        "        self.fingerprints.cut(self.experiment.position.step)\n",
        "",
        on("mlp", killed_between_rows_and_checkpoint),
        "SIGKILL between an epoch's rows and its checkpoint",
    ),
    Mutant(
        "rows of steps are not synced before the checkpoint that counts them",
        "session/recorder.py",
        "        self.steps.flush_to_disk()\n",
        "",
        on("mlp", power_lost_at_a_deletion, "contents"),
        "power loss that takes what was not synced",
    ),
    Mutant(
        "rows of the history are not synced before the checkpoint that counts them",
        "session/recorder.py",
        "        self.history.flush_to_disk()\n",
        "",
        on("mlp", power_lost_after_an_epoch, "contents"),
        "power loss that takes what was not synced",
    ),
    Mutant(
        "the folder of an experiment's first run is not synced",
        "runs/directory.py",
        "            make_directory(parent)\n",
        "            parent.mkdir(parents=True, exist_ok=True)\n",
        on("mlp", power_lost_at_a_deletion, "renames"),
        "power loss that takes new names",
    ),
    Mutant(
        "a signal to stop is honoured without a checkpoint",
        "train/loop.py",
        "            self.recorder.keeper.keep_within(self._place() | self._place_in_pass())\n"
        "            self.recorder.stop.raise_if_asked()\n\n",
        "            self.recorder.stop.raise_if_asked()\n"
        "            self.recorder.keeper.keep_within(self._place() | self._place_in_pass())\n\n",
        on("mlp", scenarios.stop_by_signal, "SIGTERM", "training:20"),
        "SIGTERM in training",
    ),
    Mutant(
        "no room is kept for the end of run.json",
        "session/recorder.py",
        "        self.record.keep_room()\n",
        "",
        on("mlp", scenarios.fail_from_operation, mode="full", match=f"write{INDEX}", at=3),
        "a disk that is full from some write on",
    ),
    Mutant(
        "the room for the end of run.json stays where a kill came after that",
        "session/run.py",
        "            world.on_main(lambda: remove_temporaries(done))  # it may have been killed after its last word\n",
        "",
        on("mlp", killed_while_it_writes, "kill", r"unlink \S*/\.run\.json\.", 1),
        "SIGKILL when run.json says finished",
    ),
)


def apply(mutant: Mutant, src: Path, original: Path = SRC) -> None:
    """Copy the source to `src`, with the mistake."""
    copy_source(src, original)
    path = src / "labwright" / mutant.file
    text = path.read_text(encoding="utf-8")
    count = text.count(mutant.old)
    assert count == 1, f"mutant {mutant.name!r}: its text stands {count} times in {mutant.file}:\n{mutant.old}"
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")


def catch(mutant: Mutant, folder: Path, original: Path, references: References) -> str | None:
    """What gave the mistake away, planted into the source that the references were made by; None: nothing did.

    A run that nobody touches must not: else it would not be the kill that finds it.
    """
    apply(mutant, folder / "src", original)
    with Lab(folder) as lab:
        trial = lab.trial("mlp")
        trial.require(trial.begin(), 0)
        trial.require_same(references["mlp"].outcome)
        try:
            mutant.detect(lab, references)
        except AssertionError as error:
            return str(error).partition("\n")[0]
    return None
