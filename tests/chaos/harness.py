"""Runs of the chaos lab's command line: started, hit, resumed, and compared with one that nobody touched.

What is compared is read without labwright, so that nothing in `src` can hide its own mistakes.
"""

import csv
import hashlib
import json
import math
import os
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

from tests.chaos.inject import STRUCK, Fault

HERE = Path(__file__).resolve().parent
SRC = HERE.parents[1] / "src"
NUM_WORKERS = {"mlp": 0, "cnn": 2}
EXPERIMENTS = tuple(NUM_WORKERS)
PATIENCE_SECONDS = 600.0
"""No life of a run here takes a tenth of that, on a busy machine either; one that does hangs."""


@dataclass
class Child:
    """A command line that was started in a lab."""

    lab: "Lab"
    pid: int
    argv: Sequence[str]
    err_path: Path
    code: int | None = None
    process: subprocess.Popen[bytes] | None = None
    """What the lab's server did not fork, but was started as a person would start it."""

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """How it ended: an exit code, or minus the number of the signal that ended it."""
        if not self.has_ended(within=seconds):
            self.send(signal.SIGKILL, group=True)
            raise AssertionError(f"{' '.join(self.argv)} did not end in {seconds:.0f} s:\n{self.err}")
        assert self.code is not None
        return self.code

    def has_ended(self, within: float = 0.0) -> bool:
        """Whether it ends within that many seconds."""
        deadline = time.monotonic() + within
        if self.process is not None:
            try:
                self.code = self.process.wait(within)
            except subprocess.TimeoutExpired:
                return False
        while self.code is None and self.lab.hear(deadline - time.monotonic()):
            pass
        return self.code is not None

    def send(self, number: int, *, group: bool = False) -> None:
        """Send a signal to the process, or to it and its data-loading workers, if they are still there."""
        try:
            (os.killpg if group else os.kill)(self.pid, number)
        except ProcessLookupError:
            pass

    @property
    def err(self) -> str:
        return self.err_path.read_text()

    @property
    def last_line(self) -> str:
        return self.err.rstrip().rpartition("\n")[2]

    @property
    def workers(self) -> list[int]:
        """The processes it has started."""
        return [int(pid) for pid in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()]


class Lab:
    """The chaos lab in a folder of its own, with a server that forks its command lines.

    They run `folder/src`: what a mutant has put there, else a copy of the source as it is now.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.src = folder / "src"
        if not self.src.exists():
            copy_source(self.src)
        self.home = folder / "lab"
        shutil.copytree(HERE / "lab", self.home, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(HERE / "inject.py", self.home)
        (self.home / "config.yaml").write_text("use_cuda: false\n")
        self._server = subprocess.Popen(
            [sys.executable, str(HERE / "server.py"), str(self.home)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=self.environment(),
            cwd=self.home,
        )
        self._answers: list[bytes] = []
        self._rest = b""
        self._children: dict[int, Child] = {}
        self._num_started = 0
        self._num_trials = 0
        if "ready" not in (self._answer(PATIENCE_SECONDS) or {}):
            raise RuntimeError(f"the server of {folder} did not start")

    def environment(self, **more: str) -> dict[str, str]:
        """What a process of the lab finds: nobody's settings, the lab's own source of labwright."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LABWRIGHT_", "WANDB_"))}
        return {**kept, "OMP_NUM_THREADS": "1", "MPLBACKEND": "agg", "PYTHONPATH": str(self.src), **more}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._server.stdin is not None and self._server.stdout is not None
        for child in self._children.values():
            if child.code is None:
                child.send(signal.SIGKILL, group=True)
        self._server.stdin.close()
        self._server.wait(PATIENCE_SECONDS)
        self._server.stdout.close()

    def start(self, *argv: str, env: Mapping[str, str]) -> Child:
        """Start `run.py ARGV` in a forked process."""
        assert self._server.stdin is not None
        out, err = self._streams()
        request = {"argv": argv, "env": dict(env), "cwd": str(self.home), "out": str(out), "err": str(err)}
        self._server.stdin.write(json.dumps(request).encode() + b"\n")
        self._server.stdin.flush()
        child: Child | None = None
        while child is None:
            answer = self._answer(PATIENCE_SECONDS)
            assert answer is not None, "the server does not answer"
            if "status" in answer:
                self._children[answer["pid"]].code = answer["status"]
            else:
                child = self._children[answer["pid"]] = Child(self, answer["pid"], argv, err)
        return child

    def start_fresh(self, *argv: str, env: Mapping[str, str]) -> Child:
        """Start `python run.py ARGV`, which takes some seconds to import torch."""
        out, err = self._streams()
        with out.open("wb") as out_file, err.open("wb") as err_file:
            process = subprocess.Popen(
                [sys.executable, str(self.home / "run.py"), *argv],
                env=self.environment(**env),
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=out_file,
                stderr=err_file,
                start_new_session=True,
            )
        return Child(self, process.pid, argv, err, process=process)

    def _streams(self) -> tuple[Path, Path]:
        self._num_started += 1
        return self.folder / f"{self._num_started}.out", self.folder / f"{self._num_started}.err"

    def hear(self, seconds: float) -> bool:
        """Wait for the server to say that a process ended; False when time is up."""
        answer = self._answer(max(seconds, 0.0))
        if answer is None:
            return False
        self._children[answer["pid"]].code = answer["status"]
        return True

    def _answer(self, seconds: float) -> dict[str, Any] | None:
        assert self._server.stdout is not None
        deadline = time.monotonic() + seconds
        while not self._answers:
            ready, _, _ = select.select([self._server.stdout], [], [], max(0.0, deadline - time.monotonic()))
            content = os.read(self._server.stdout.fileno(), 65536) if ready else None
            if content == b"":
                raise RuntimeError(f"the server of {self.folder} has died")
            if content is None:
                return None
            *lines, self._rest = (self._rest + content).split(b"\n")
            self._answers += lines
        return json.loads(self._answers.pop(0))

    def trial(self, experiment: str, *flags: str) -> "Trial":
        """A new run to be made, in a results folder of its own."""
        self._num_trials += 1
        folder = self.folder / f"trial_{self._num_trials}"
        (folder / "results").mkdir(parents=True)
        return Trial(self, experiment, folder, flags)


@dataclass
class Trial:
    """One run of an experiment, however many lives it takes."""

    lab: Lab
    experiment: str
    folder: Path
    flags: Sequence[str] = ()
    num_kills: int = 0
    num_resumes: int = 0
    num_redone: int = 0
    """Steps that were applied again after a kill."""
    lives: list[str] = field(default_factory=list[str])
    """What happened, for whoever reads a failure."""
    results_name: str = "results"
    is_fresh: bool = False
    """Whether its lives are started as a person would start them, and not forked."""
    before_life: tuple[set[int], int] = field(default_factory=lambda: ({0}, 0))
    """Where the last life could begin, and how many lives there were before it."""

    @property
    def results(self) -> Path:
        return self.folder / self.results_name

    @property
    def log_path(self) -> Path:
        return self.folder / "applied.jsonl"

    @property
    def run(self) -> Path:
        """Its run directory."""
        [run] = self.runs
        return run

    @property
    def runs(self) -> list[Path]:
        return sorted(path for path in self.results.glob("*/[!.]*") if path.is_dir())

    @property
    def checkpoint_every(self) -> int:
        """Steps between checkpoints."""
        return int(self._start_flags()["--checkpoint_every_n_steps"])

    @property
    def most_lost(self) -> int:
        """What a kill may cost, in steps: while a checkpoint is written, training goes on until the next is due."""
        return 2 * self.checkpoint_every

    def start_argv(self) -> list[str]:
        return [f"{name}={value}" for name, value in self._start_flags().items()]

    def _start_flags(self) -> dict[str, str]:
        return {
            "--experiment_id": self.experiment,
            "--results_dir": str(self.results),
            "--num_workers": str(NUM_WORKERS[self.experiment]),
            "--log_every_n_steps": "1",
            "--checkpoint_every_n_steps": "3",
            "--keep_checkpoints": "2",
            **dict(flag.split("=") for flag in self.flags),
        }

    def fault(self, **what: Any) -> Fault:
        return Fault(root=str(self.results), **what)

    def begin(self, *argv: str, fault: Fault | None = None, signals: str = "") -> Child:
        """Start a command line on this run; without `argv` the run itself."""
        env = {"CHAOS_LOG": str(self.log_path), "CHAOS_SIGNALS": signals}
        if fault is not None:
            self.trace_path.unlink(missing_ok=True)
            env["CHAOS_FAULT"] = replace(fault, trace=str(self.trace_path)).to_json()
        self.lives.append(f"{' '.join(argv) or 'start'}  {fault or ''} {signals}".strip())
        self.before_life = self.may_begin_after, len(self.applied)
        start = self.lab.start_fresh if self.is_fresh else self.lab.start
        return start(*(argv or self.start_argv()), env=env)

    def resume(self, *, fault: Fault | None = None, signals: str = "") -> Child:
        """Resume the run; where a kill came before there was anything to resume, start it."""
        if not self.runs:
            return self.begin(fault=fault, signals=signals)
        self.num_resumes += 1
        return self.begin("resume", str(self.run), fault=fault, signals=signals)

    def end(self, child: Child) -> int:
        """Wait for a life to end, and check what must be true then; how it ended."""
        code = child.wait()
        self.check_index()
        allowed, num_lives = self.before_life
        for life in filter(None, self.applied[num_lives:]):
            begin = life[0]["step"] - 1
            assert begin in allowed, f"went on after step {begin}, not after {max(allowed)}\n{self.story()}"
        return code

    def end_killed(self, child: Child) -> bool:
        """Wait for a life that was to be killed; whether it was, and did not end by itself before."""
        code = self.end(child)
        if code == 0:
            return False
        assert code == -signal.SIGKILL, f"exit code {code}\n{self.story()}\n{child.err[-3000:]}"
        self.num_kills += 1
        lost = self.num_steps_done() - self.saved_step
        assert lost <= self.most_lost, f"{lost} steps were lost\n{self.story()}"
        return True

    def finish(self) -> None:
        """Resume the run, to its end."""
        self.require(self.resume(), 0)

    def require(self, child: Child, code: int) -> None:
        """Wait for a life that must end with this exit code."""
        got = self.end(child)
        assert got == code, f"exit code {got} instead of {code}\n{self.story()}\n{child.err[-3000:]}"

    def require_same(self, reference: "Outcome") -> None:
        """The finished run has left what the reference left, bit for bit, and nothing else."""
        different = reference.differences(Outcome.of(self))
        assert not different, f"not as without a kill: {', '.join(different)}\n{self.story()}"
        stray = leftovers(self.run)
        assert not stray, f"left over: {', '.join(stray)}\n{self.story()}"

    def story(self) -> str:
        return "\n".join([f"{self.folder}:", *self.lives])

    @property
    def trace_path(self) -> Path:
        return self.folder / "operations.txt"

    @property
    def operations(self) -> list[str]:
        """The file operations of the last life that had a fault."""
        return self.trace_path.read_text().splitlines() if self.trace_path.is_file() else []

    @property
    def was_struck(self) -> bool:
        """Whether that life got as far as the fault."""
        return STRUCK in self.operations

    def files(self) -> list[Path]:
        """All there is, but for what remembers the runs that were listed."""
        return sorted(path for path in self.folder.rglob("*") if not path.name.startswith(".index.sqlite"))

    # -- what is true at every moment

    def check_index(self) -> None:
        """index.json names checkpoints that are there, whole."""
        for run in self.runs:
            for name, entry in read_index(run).items():
                path = run / "checkpoints" / entry["file"]
                assert path.is_file(), f"{name}: {path} is not there\n{self.story()}"
                content = path.read_bytes()
                assert len(content) == entry["size"], f"{name}: {path} was cut\n{self.story()}"
                digest = hashlib.sha256(content).hexdigest()
                assert digest == entry["sha256"], f"{name}: {path} is damaged\n{self.story()}"

    @property
    def saved_step(self) -> int:
        """The step of the newest checkpoint; 0 before the first."""
        return max((entry["step"] for run in self.runs for entry in read_index(run).values()), default=0)

    @property
    def may_begin_after(self) -> set[int]:
        """After which step a resume may begin: the newest checkpoint's; the first may be there without an index."""
        saved = self.saved_step
        files = [path.stem for run in self.runs for path in run.glob("checkpoints/step_*.safetensors")]
        return {saved} if saved else {0, *(int(name.removeprefix("step_")) for name in files)}

    @property
    def applied(self) -> list[list[dict[str, Any]]]:
        """The optimizer steps of each life that came to training."""
        return read_lives(self.log_path)

    def num_steps_done(self) -> int:
        """The last step that was applied in the last life that applied any; what it began with, if it applied none."""
        lives = [life for life in self.applied if life]
        return lives[-1][-1]["step"] if lives else 0


def copy_source(src: Path, original: Path = SRC) -> None:
    """Copy labwright, as it is in this repository or elsewhere, to `src`."""
    shutil.copytree(original / "labwright", src / "labwright", ignore=shutil.ignore_patterns("__pycache__"))


def read_index(run: Path) -> dict[str, dict[str, Any]]:
    """What index.json says; nothing where there is none yet."""
    path = run / "checkpoints" / "index.json"
    try:
        return json.loads(path.read_bytes()) if path.is_file() else {}
    except ValueError:
        raise AssertionError(f"{path} is no JSON") from None


def read_lives(path: Path) -> list[list[dict[str, Any]]]:
    """The lines of a lab's log, life by life."""
    lives: list[list[dict[str, Any]]] = []
    for line in path.read_text().splitlines() if path.is_file() else ():
        row = json.loads(line)
        if "life" in row:
            lives.append([])
        else:
            lives[-1].append(row)
    return lives


def effective_steps(lives: list[list[dict[str, Any]]]) -> tuple[list[dict[str, Any]], int]:
    """The steps that the final weights are made of, and how many others were applied and lost with their process.

    Each life goes on from a checkpoint: what was applied after that is gone. A gap is an AssertionError.
    """
    steps: list[dict[str, Any]] = []
    num_lost = 0
    for life in filter(None, lives):
        begin = life[0]["step"] - 1
        assert begin <= len(steps), f"a life begins after step {begin}, but only {len(steps)} were applied"
        num_lost += len(steps) - begin
        steps = [*steps[:begin], *life]
        assert [step["step"] for step in steps] == list(range(1, len(steps) + 1)), "a life left out a step"
    return steps, num_lost


@dataclass(frozen=True)
class Outcome:
    """All that a finished run has left which must not depend on what happened to it."""

    values: dict[str, Any]

    @classmethod
    def of(cls, trial: Trial) -> Self:
        run = trial.run
        record = json.loads((run / "run.json").read_bytes())
        steps, trial.num_redone = effective_steps(trial.applied)
        values: dict[str, Any] = {
            "status": record["status"],
            "test": record["result"]["test"],
            "best": [record["result"][key] for key in ("best_epoch", "best_value")],
            "model.safetensors": (run / "model.safetensors").read_bytes(),
            "history.jsonl": (run / "history.jsonl").read_bytes(),
            "args.yaml": (run / "args.yaml").read_bytes(),
            "steps.jsonl": [_lasting(row) for row in read_rows(run / "steps.jsonl")],
            "samples of each step": steps,
            "files": sorted(_files(run)),
        }
        for path in sorted((run / "predictions").glob("*.csv")):
            values[f"predictions/{path.name}"] = list(csv.reader(path.read_text().splitlines()))
        fingerprints = run / "fingerprints.bin"
        if fingerprints.is_file():
            values["fingerprints.bin"] = fingerprints.read_bytes()
        for role in ("last", "best"):
            entry = read_index(run)[role]
            values[role] = {key: entry[key] for key in ("epoch", "step", "metrics")}
            values |= {
                f"{role} checkpoint: {key}": value
                for key, value in read_checkpoint(run / "checkpoints" / entry["file"]).items()
            }
        return cls(values)

    def differences(self, other: "Outcome") -> list[str]:
        """The names of what differs."""
        names = [*self.values, *(other.values.keys() - self.values.keys())]
        return [name for name in names if not _same(self.values.get(name), other.values.get(name))]


def leftovers(run: Path) -> list[str]:
    """Files that a killed write left, and checkpoints that nothing names."""
    named = {entry["file"] for entry in read_index(run).values()} | {"index.json"}
    stray = [path for path in (run / "checkpoints").iterdir() if path.name not in named]
    hidden = [path for path in run.rglob("*") if re.fullmatch(r"\..*\.tmp", path.name)]
    return sorted({str(path.relative_to(run)) for path in [*stray, *hidden]})


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Each tensor's bytes and each value of a checkpoint, by its name; how long things took is left out."""
    content = path.read_bytes()
    [size] = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    metadata = header.pop("__metadata__")
    tensors = {
        name: (entry["dtype"], entry["shape"], content[8 + size :][slice(*entry["data_offsets"])])
        for name, entry in header.items()
    }
    return {**tensors, "values": _timeless(json.loads(metadata["labwright"]))}


def _timeless(value: Any) -> Any:
    """Without the one value that may differ: the seconds spent."""
    if isinstance(value, dict):
        return {key: _timeless(member) for key, member in value.items() if key != "train_seconds"}
    return [_timeless(member) for member in value] if isinstance(value, list) else value


def _lasting(row: dict[str, Any]) -> dict[str, Any]:
    return {key: row[key] for key in ("step", "epoch", "loss", "learning_rate")}


def read_rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def _files(run: Path) -> Iterator[str]:
    """The names of all files but the checkpoints, whose own names the index says."""
    for path in run.rglob("*"):
        name = path.relative_to(run)
        if path.is_file() and name.parts[0] != "checkpoints":
            yield str(name)


def _same(one: Any, other: Any) -> bool:
    """Equality by which NaN equals NaN."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or (math.isnan(one) and math.isnan(other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return type(one) is type(other) and one == other
