"""What may happen to a run, one function each; an AssertionError where it makes a difference that must not be."""

import json
import os
import random
import re
import shlex
import shutil
import signal
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.harness import EXPERIMENTS, PATIENCE_SECONDS, Child, Lab, Outcome, Trial, read_index
from tests.chaos.inject import STRUCK, Loss, Mode

PLACES = ("training", "validation", "saving", "testing", "plotting")
EXIT_CODES = {"SIGTERM": 143, "SIGINT": 130, "SIGUSR1": 143}
CAUSES = {"full": r"(?i)no space (is )?left", "broken": r"(?i)input/output error"}


@dataclass(frozen=True)
class Reference:
    """A run that nobody touched: what it left, how long it took, what it did to files and how often it was where."""

    outcome: Outcome
    seconds: float
    operations: list[str]
    num_steps: int
    num_batches: int

    @classmethod
    def of(cls, lab: Lab, experiment: str, *flags: str) -> "Reference":
        trial = lab.trial(experiment, *flags)
        started = time.monotonic()
        trial.require(trial.begin(fault=trial.fault()), 0)
        seconds = time.monotonic() - started
        outcome = Outcome.of(trial)
        steps = outcome.values["samples of each step"]
        batch_size = {"mlp": 8, "cnn": 16}[experiment]
        num_batches = sum(-(-len(step["samples"]) // batch_size) for step in steps)
        return cls(outcome, seconds, trial.operations, len(steps), num_batches)


def references(lab: Lab) -> dict[str, Reference]:
    return {experiment: Reference.of(lab, experiment) for experiment in EXPERIMENTS}


# -- kills


def kill_at_random_times(trial: Trial, reference: Reference, chance: random.Random, num_kills: int) -> None:
    """SIGKILL at times drawn evenly over a whole run, again and again, then to the end."""

    def life() -> Child:
        child = trial.resume() if trial.lives else trial.begin()
        if not child.has_ended(within=chance.uniform(0.0, reference.seconds)):
            child.send(signal.SIGKILL, group=chance.random() < 0.5)  # alone, or with its workers, as a cluster does
        return child

    _kill_and_finish(trial, reference, life, num_kills)


def kill_fresh_process(trial: Trial, reference: Reference, chance: random.Random) -> None:
    """SIGKILL at a random time to a process that was started as a person would, and so is the one that resumes."""
    trial.is_fresh = True
    child = trial.begin()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not trial.runs and not child.has_ended(within=0.02):  # it imports torch, and nothing could be lost
        assert time.monotonic() < deadline, f"never began: {child.err}"
    if not child.has_ended(within=chance.uniform(0.0, reference.seconds)):
        child.send(signal.SIGKILL)
    if trial.end_killed(child):
        trial.finish()
    trial.require_same(reference.outcome)


def kill_at_random_places(trial: Trial, reference: Reference, chance: random.Random, num_kills: int) -> None:
    """SIGKILL in the middle of a batch, a validation, a checkpoint, the test or a picture."""

    def life() -> Child:
        signals = f"SIGKILL@{_random_place(reference, chance)}"
        return trial.resume(signals=signals) if trial.lives else trial.begin(signals=signals)

    _kill_and_finish(trial, reference, life, num_kills)


def _random_place(reference: Reference, chance: random.Random) -> str:
    place = chance.choice([*["training"] * 6, *PLACES])
    often = {"training": reference.num_batches, "validation": 10, "saving": reference.num_steps // 4}
    return f"{place}:{chance.randint(1, often.get(place, 1))}"


def kill_at_random_operations(
    trial: Trial, reference: Reference, chance: random.Random, num_kills: int, modes: Sequence[Mode]
) -> None:
    """SIGKILL before, in or after a file operation, or a power loss there."""

    def life() -> Child:
        fault = trial.fault(
            mode=chance.choice(modes),
            at=chance.randint(1, len(reference.operations)),
            loss=chance.choice(LOSSES),
            seed=chance.randrange(2**32),
        )
        return trial.resume(fault=fault) if trial.lives else trial.begin(fault=fault)

    _kill_and_finish(trial, reference, life, num_kills)


LOSSES: tuple[Loss, ...] = ("everything", "contents", "zeroed", "renames", "some")


def _kill_and_finish(trial: Trial, reference: Reference, life: Callable[[], Child], num_kills: int) -> None:
    """Lives that are killed, until there were as many kills as wanted or the run came to its end before."""
    for _ in range(num_kills):
        if not trial.end_killed(life()):
            break
    else:
        trial.finish()
    trial.require_same(reference.outcome)


def hit_operation(trial: Trial, reference: Reference, **fault: Any) -> None:
    """A kill or a power loss at one file operation of a run, then to the end."""
    trial.end_killed(trial.begin(fault=trial.fault(**fault)))
    trial.finish()
    trial.require_same(reference.outcome)


def hit_operation_of_resume(trial: Trial, reference: Reference, **fault: Any) -> None:
    """The same, in a life that takes a run up in the middle of its second epoch."""
    kill_in_the_middle(trial, reference)
    trial.end_killed(trial.resume(fault=trial.fault(**fault)))
    trial.finish()
    trial.require_same(reference.outcome)


def kill_in_the_middle(trial: Trial, reference: Reference, share: float = 0.65) -> None:
    """SIGKILL after this share of the run, when the newest checkpoint is of the middle of an epoch.

    So is the one before: the newest may still be on its way to the disk.
    """
    signals = f"SIGKILL@training:{int(reference.num_batches * share)}"
    assert trial.end_killed(trial.begin(signals=signals)), trial.story()
    steps, saved = reference.outcome.values["samples of each step"], trial.saved_step
    assert steps[saved - 1]["epoch"] == steps[saved]["epoch"], f"step {saved} ends an epoch"


# -- disks


def fail_from_operation(trial: Trial, reference: Reference, **fault: Any) -> None:
    """A disk that is full, or broken, from some operation on: said so, no exit 0, and once it is well again no harm."""
    child = trial.begin(fault=trial.fault(**fault))
    code = trial.end(child)
    if not trial.was_struck:
        return
    if _only_room_was_left(trial.operations):  # run.json says already how the run ended
        assert code == 0, f"exit code {code}\n{trial.story()}\n{child.err[-3000:]}"
        trial.finish()
        return trial.require_same(reference.outcome)
    assert code in (1, 2), f"exit code {code}\n{trial.story()}\n{child.err[-3000:]}"
    assert code == 1 or not trial.num_steps_done(), f"refused after it had begun\n{trial.story()}\n{child.err[-3000:]}"
    assert re.search(CAUSES[fault["mode"]], child.err), f"no cause is named\n{trial.story()}\n{child.err[-3000:]}"
    assert "Traceback" not in child.err, f"{trial.story()}\n{child.err[-3000:]}"
    if fault["mode"] == "full" and trial.num_steps_done():
        status = json.loads((trial.run / "run.json").read_bytes())["status"]
        assert status != "running", f"run.json says {status}\n{trial.story()}"
    lost = trial.num_steps_done() - trial.saved_step
    assert lost <= trial.most_lost, f"{lost} steps were lost\n{trial.story()}"
    trial.finish()
    trial.require_same(reference.outcome)


def _only_room_was_left(operations: Sequence[str]) -> bool:
    """Whether the fault struck when the room for the end of run.json was given back, and nothing came after that."""
    *_, hit, last = ["", *operations]
    return last == STRUCK and re.fullmatch(r"unlink \S*/\.run\.json\.\w+\.tmp", hit) is not None


# -- signals


def stop_by_signal(trial: Trial, reference: Reference, name: str, place: str) -> None:
    """SIGTERM and its like at a place: the right exit code, the resume command on the last line, not a step lost."""
    child = trial.begin(signals=f"{name}@{place}")
    trial.require(child, EXIT_CODES[name])
    require_orderly_stop(trial, child)
    trial.require(trial.begin(*resume_words(child, trial)), 0)
    trial.require_same(reference.outcome)


def require_orderly_stop(trial: Trial, child: Child) -> None:
    assert "Traceback" not in child.err, child.err
    assert trial.saved_step == trial.num_steps_done(), (
        f"{trial.num_steps_done() - trial.saved_step} steps are lost\n{trial.story()}"
    )
    status = json.loads((trial.run / "run.json").read_bytes())["status"]
    assert status == "interrupted", status


def resume_words(child: Child, trial: Trial) -> list[str]:
    """The resume command that the last line shows, without the program."""
    line = child.last_line
    assert " resume " in line, f"the last line shows no resume command: {line!r}\n{child.err}"
    words = shlex.split(line[line.index(" resume ") :])
    trial.num_resumes += 1
    return words


def stop_before_anything(trial: Trial, reference: Reference, name: str) -> None:
    """A signal at start-up: there is nothing to resume, and nothing is left half made."""
    child = trial.begin(signals=f"{name}@start-up:1")
    trial.require(child, EXIT_CODES[name])
    assert "Traceback" not in child.err, child.err
    assert not trial.num_steps_done()
    trial.finish()
    trial.require_same(reference.outcome)


def interrupt_twice(trial: Trial, reference: Reference, first: str, second: str) -> None:
    """A second Ctrl-C finishes nothing any more, and corrupts nothing."""
    child = trial.begin(signals=f"SIGINT@{first},SIGINT@{second}")
    trial.require(child, EXIT_CODES["SIGINT"])
    assert "Traceback" not in child.err, child.err
    trial.finish()
    trial.require_same(reference.outcome)


def stop_group(trial: Trial, reference: Reference, number: int) -> None:
    """Ctrl-C at a terminal reaches the data-loading workers too: they neither die first nor hang."""
    child = paused(trial, "training:5")
    workers = child.workers
    child.send(number, group=True)
    child.send(signal.SIGCONT)
    trial.require(child, EXIT_CODES[signal.Signals(number).name])
    require_orderly_stop(trial, child)
    require_gone(workers)
    trial.finish()
    trial.require_same(reference.outcome)


def paused(trial: Trial, place: str, *, is_resume: bool = False) -> Child:
    """A life that has stopped itself at a place, and waits there for SIGCONT."""
    signals = f"SIGSTOP@{place}"
    child = trial.resume(signals=signals) if is_resume else trial.begin(signals=signals)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _state(child.pid) != "T":
        assert not child.has_ended(within=0.01), f"ended before {place}: {child.err}"
        assert time.monotonic() < deadline, f"never came to {place}"
    return child


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


def require_gone(pids: Sequence[int], within: float = PATIENCE_SECONDS) -> None:
    """These processes end soon."""
    deadline = time.monotonic() + within
    while left := [pid for pid in pids if _state(pid) not in ("gone", "Z")]:
        assert time.monotonic() < deadline, f"still there: {left}"
        time.sleep(0.02)


# -- workers


def kill_worker(trial: Trial, reference: Reference) -> None:
    """A data-loading worker that is killed is an error, and names it; the run goes on later."""
    child = paused(trial, "training:5")
    worker = child.workers[0]
    os.kill(worker, signal.SIGKILL)
    child.send(signal.SIGCONT)
    trial.require(child, 1)
    assert str(worker) in child.err and "SIGKILL" in child.err, f"does not name worker {worker}:\n{child.err}"
    trial.finish()
    trial.require_same(reference.outcome)


def kill_above_workers(trial: Trial, reference: Reference) -> None:
    """Workers do not outlive the process they load for, and hold no lock of its run."""
    child = paused(trial, "training:5")
    workers = child.workers
    assert workers
    child.send(signal.SIGKILL)
    assert trial.end_killed(child)
    trial.finish()  # at once: whether its workers still live must not matter
    require_gone(workers)
    trial.require_same(reference.outcome)


# -- several at once


def resume_twice_at_once(trial: Trial, reference: Reference) -> None:
    """Of two resumes of one run exactly one trains; the other is refused in one line, as long as that one lives."""
    kill_in_the_middle(trial, reference)
    first = paused(trial, "training:3", is_resume=True)
    before = trial.before_life
    second = trial.resume()
    assert second.wait() == 2, f"the second was not refused, but ended with {second.code}\n{second.err}"
    assert len(second.err.strip().splitlines()) == 1 and str(first.pid) in second.err, second.err
    trial.before_life = before
    first.send(signal.SIGCONT)
    trial.require(first, 0)
    trial.require_same(reference.outcome)


def race_to_resume(trial: Trial, reference: Reference, num_racers: int = 3) -> None:
    """However close together they start, one trains; the others are refused, or find the run finished."""
    kill_in_the_middle(trial, reference)
    before = trial.may_begin_after, len(trial.applied)
    racers = [trial.resume() for _ in range(num_racers)]
    codes = [child.wait() for child in racers]
    trial.before_life = before
    assert 0 in codes and set(codes) <= {0, 2}, codes
    trained = [life for life in trial.applied[before[1] :] if life]
    assert len(trained) == 1, f"{len(trained)} of {num_racers} trained"
    trial.require_same(reference.outcome)


def start_at_once(lab: Lab, num_runs: int = 8) -> None:
    """Eight starts within a second make eight run directories."""
    trial = lab.trial("mlp", "--epochs=1")
    children = [trial.begin() for _ in range(num_runs)]
    codes = [child.wait() for child in children]
    assert codes == [0] * num_runs, codes
    assert len(trial.runs) == num_runs
    for run in trial.runs:
        assert json.loads((run / "run.json").read_bytes())["status"] == "finished"


# -- places and names


def move_and_resume(trial: Trial, reference: Reference) -> None:
    """A run directory that was moved, to a place with spaces and accents in its name, is resumed by its path."""
    kill_in_the_middle(trial, reference)
    name = trial.run.name
    trial.results.rename(trial.folder / "gone")
    new_home = trial.folder / "verschoben nach Süden, 東"
    (new_home / trial.experiment).mkdir(parents=True)
    (trial.folder / "gone" / trial.experiment / name).rename(new_home / trial.experiment / name)
    trial.results_name = new_home.name
    trial.finish()
    trial.require_same(reference.outcome)


HOSTILE = (
    "../../etc",
    "/etc",
    "../" * 40 + "etc/passwd",
    "a\nb",
    "x" * 5000,
    "",
    ".",
    "..",
    "*",
    "~nobody",
    "\x1b[31mred",
    "-x",
    "best:",
    "best:../../x",
    "\udcff",
)


def resume_hostile(trial: Trial, text: str) -> None:
    """What is no run is refused in one printable line, and nothing is made or touched."""
    before = trial.files()
    child = trial.begin(f"--experiment_id={trial.experiment}", f"--resume={text}", f"--results_dir={trial.results}")
    assert child.wait() == 2, f"exit code {child.code} for {text!r}\n{child.err}"
    [line] = child.err.splitlines()
    assert line.isprintable() and len(line) < 1000, line[:300]
    assert trial.files() == before


# -- damage


class _Mine:
    """What a pickle does to whoever loads it: it leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


def damages(mark: Path) -> dict[str, Callable[[Path], None]]:
    """Ways to spoil a checkpoint; the pickles make `mark` when they are loaded."""
    import pickle

    def truncate(path: Path) -> None:
        os.truncate(path, path.stat().st_size * 2 // 3)

    def flip_a_bit(path: Path) -> None:
        content = bytearray(path.read_bytes())
        content[len(content) * 3 // 4] ^= 0x10
        path.write_bytes(content)

    def zero_a_block(path: Path) -> None:
        content = bytearray(path.read_bytes())
        middle = len(content) // 2
        content[middle : middle + 512] = bytes(512)
        path.write_bytes(content)

    def empty(path: Path) -> None:
        path.write_bytes(b"")

    def raw_pickle(path: Path) -> None:
        path.write_bytes(pickle.dumps(_Mine(mark)))

    def zipped_pickle(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(_Mine(mark)))
            archive.writestr("archive/version", "3\n")

    def forged(spoil: Callable[[Path], None]) -> Callable[[Path], None]:
        def spoil_and_sign(path: Path) -> None:
            spoil(path)
            sign(path)

        return spoil_and_sign

    return {
        "truncated": truncate,
        "a flipped bit": flip_a_bit,
        "a zeroed block": zero_a_block,
        "empty": empty,
        "missing": Path.unlink,
        "a pickle": raw_pickle,
        "a zipped pickle": zipped_pickle,
        "a pickle with its checksum": forged(raw_pickle),
        "a zipped pickle with its checksum": forged(zipped_pickle),
        "truncated, with its checksum": forged(truncate),
    }


def sign(path: Path) -> None:
    """Make index.json vouch for the file as it is now."""
    import hashlib

    index_path = path.with_name("index.json")
    index = json.loads(index_path.read_bytes())
    for entry in index.values():
        if entry["file"] == path.name:
            entry |= {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    index_path.write_text(json.dumps(index))


def copy_of(other: Trial) -> Trial:
    """A trial whose run is at the same point."""
    trial = other.lab.trial(other.experiment)
    shutil.copytree(other.results, trial.results, dirs_exist_ok=True)
    shutil.copy(other.log_path, trial.log_path)
    return trial


def damage_newest(trial: Trial, reference: Reference, name: str) -> None:
    """A damaged checkpoint is named, the one before it is taken, and nothing in it is run."""
    mark = trial.folder / "mine went off"
    newest = newest_checkpoint(trial.run)
    damages(mark)[name](newest)
    child = trial.begin("resume", str(trial.run))
    code = child.wait()
    assert code == 0, f"{name}: exit code {code}\n{child.err}"
    assert not mark.exists(), f"{name}: it was loaded"
    assert newest.name in child.err, f"{name}: {newest.name} is not named\n{child.err}"
    trial.num_resumes += 1
    trial.require_same(reference.outcome)


def damage_all(trial: Trial, name: str) -> None:
    """With no valid checkpoint left, one line says so; nothing is trained, nothing is changed."""
    mark = trial.folder / "mine went off"
    files = {entry["file"] for entry in read_index(trial.run).values()}
    for file in files:
        damages(mark)[name](trial.run / "checkpoints" / file)
    num_lives = len(trial.applied)
    child = trial.begin("resume", str(trial.run))
    assert child.wait() == 2, f"{name}: exit code {child.code}\n{child.err}"
    assert len(child.err.strip().splitlines()) == 1, child.err
    assert not mark.exists() and len(trial.applied) == num_lives


def newest_checkpoint(run: Path) -> Path:
    entry = max(read_index(run).values(), key=lambda entry: entry["step"])
    return run / "checkpoints" / entry["file"]


def resume_finished(trial: Trial, reference: Reference) -> None:
    """A finished run that is resumed stays as it is, to the byte."""
    trial.require(trial.begin(), 0)
    before = {path: path.read_bytes() for path in trial.run.rglob("*") if path.is_file()}
    trial.require(trial.resume(), 0)
    after = {path: path.read_bytes() for path in trial.run.rglob("*") if path.is_file()}
    assert before == after, [str(path) for path in after if before.get(path) != after[path]]
    trial.require_same(reference.outcome)
