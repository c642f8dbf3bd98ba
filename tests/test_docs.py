"""The README and docs/ do what they say: every command runs, every output shown is what comes.

What a fenced block of a page means here:

console: `$ ` commands, run in order; what is shown below them has to come, `...` standing for anything.
python: a file, if its first line is a comment with its path; else a program, run as it stands.
diff: a change to a file that is there, its hunks divided by `@@`.

A line `^C` or `Killed` in what is shown: once the lines above it have come, Ctrl-C is pressed, or the process killed.
"""

import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from threading import Timer
from typing import Any, NamedTuple, get_args

import pytest
from pydantic.fields import FieldInfo

import labwright.datasets
import labwright.metrics
import labwright.runs.plots
from lab.experiments.digits import DigitsArgs
from lab.registry import EXPERIMENTS
from labwright import Args, Experiment, ExperimentArgs, Hook, MachineConfig, RunOptions, RunResult
from labwright.args.resume import policy_of
from labwright.datasets import DatasetArgs
from labwright.models import MLPArgs, ModelUnion
from labwright.optimizers import OptimizerUnion
from labwright.runs import RunDirectory, artifacts
from labwright.runs.listing import notes
from labwright.runs.proof.verification import CERTIFICATE
from labwright.runs.record import RunFacts
from labwright.schedulers import SchedulerUnion
from labwright.session.beginning import START
from labwright.train import Stepper

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
HOME = "/home/you/labwright"
"""Where the pages say the repository is."""

NOT_RUN = {
    "git clone <this repository> && cd labwright": "Makefile",
    "make demo": "Makefile",
    "make test": "Makefile",
    "make docs": "Makefile",
    "pip install -e . -c constraints.txt": "constraints.txt",
    "conda env create -f environment.yaml && conda activate labwright": "environment.yaml",
    'pip install -e ".[tensorboard]" -c constraints.txt': "constraints.txt",
    'pip install -e ".[huggingface]" -c constraints.txt': "constraints.txt",
    'pip install -e ".[metrics]" -c constraints.txt': "constraints.txt",
    "tensorboard --logdir results": "pyproject.toml",
    "pip install lightning 'jsonargparse[signatures]' hydra-core transformers accelerate": "docs/comparison.md",
}
"""Commands that need a network, a package of others or a person, each with a file here that it needs or stands in."""
NEEDS_OTHERS = ("with_lightning.py", "with_hydra.py", "with_trainer.py")
"""Programs of docs/comparison.md, which need packages that labwright does not."""

IN_BETWEEN = re.compile(r"(epoch +\d+/\d+ )?\w+: batch \d+.*|.*: [\d,]+ of [\d,]+ samples, [\d,]+/s")
"""A line of what takes longer than five seconds, which it does on a busy machine."""

STRUCK = {"^C": (signal.SIGINT, 130), "Killed": (signal.SIGKILL, -signal.SIGKILL)}
"""What a line of a page does to the command above it, and how that ends."""


class Block(NamedTuple):
    """A fenced block of a page."""

    language: str
    text: str
    line: int


class Command(NamedTuple):
    """A command and the output shown below it."""

    text: str
    shown: str

    @property
    def is_run(self) -> bool:
        return self.text not in NOT_RUN and not any(name in self.text for name in NEEDS_OTHERS)


def blocks(page: Path) -> Iterator[Block]:
    text = page.read_text(encoding="utf-8")
    for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, flags=re.MULTILINE | re.DOTALL):
        yield Block(match[1], match[2], text[: match.start()].count("\n") + 1)


def commands(block: Block) -> Iterator[Command]:
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield Command(command, shown.strip("\n"))


def plain(text: str, folder: Path | None = None) -> str:
    """`text` without what differs from run to run: folders, times, numbers and what hangs on them."""
    if folder is not None:
        text = text.replace(str(folder), HOME).replace(sys.executable, ".venv/bin/python")
        text = "".join(line for line in text.splitlines(keepends=True) if not IN_BETWEEN.fullmatch(line.strip()))
    text = re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{4}", "RUN", text)
    text = re.sub(r"\b([0-9a-f]{12}|[0-9a-f]{40}|[0-9a-f]{64})\b", "SHA", text)
    text = re.sub(r"-?\d[\d,]*(\.\d+)?(e-?\d+)?", "0", text)
    text = re.sub(r"  best$", "", text, flags=re.MULTILINE)
    text = re.sub(r"[^\S\n]+", " ", text)
    return "\n".join(line.strip() for line in text.strip().splitlines())


def agrees(shown: str, came: str) -> bool:
    """Whether `came` is what is `shown`, where a line `...` stands for any lines, at a line's end for its rest."""
    pattern = ""
    for line in shown.splitlines(keepends=True):
        if line.strip() == "...":
            pattern += r"(?:.*\n)*?"
        elif line.rstrip().endswith("..."):
            pattern += re.escape(line.rstrip().removesuffix("...")) + r".*\n"
        else:
            pattern += re.escape(line.rstrip("\n")) + r"\n"
    return re.fullmatch(pattern, came + "\n") is not None


class Reader:
    """Somebody who follows a page in a clone of the repository of their own, without a network."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "labwright"
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (ROOT / name).is_file():
                (self.home / name).parent.mkdir(parents=True, exist_ok=True)
                (self.home / name).write_bytes((ROOT / name).read_bytes())
        programs = folder / "bin"
        programs.mkdir()
        for name, command in (("python", ""), ("labwright", " -m labwright")):
            (programs / name).write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)}{command} "$@"\n')
            (programs / name).chmod(0o755)
        nowhere = "http://127.0.0.1:9"
        settings = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        self.environment = settings | {
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.home / "src"),
            "OMP_NUM_THREADS": "1",
            "http_proxy": nowhere,
            "https_proxy": nowhere,
        }
        commit = (
            "git init -q -b main && git add -A && git -c user.name=You -c user.email=you@localhost commit -qm Cloned"
        )
        cloned = self.call(["bash", "-c", commit])
        assert cloned.returncode == 0, cloned.stdout

    def follow(self, block: Block) -> None:
        header = re.match(r"# ([\w/.]+\.\w+)\n", block.text)
        if block.language == "console":
            for command in commands(block):
                self.run(command)
        elif block.language == "diff":
            self.change(block)
        elif header is not None:
            path = self.home / header[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.text)
        elif block.language == "python":
            done = self.call([sys.executable, "-c", block.text])
            assert done.returncode == 0, f"line {block.line}:\n{done.stdout}"

    def run(self, command: Command) -> None:
        if not command.is_run:
            return
        words, shown = ["bash", "-c", command.text], command.shown
        strike = next((line for line in shown.splitlines() if line in STRUCK), None)
        if strike is None:
            done, expected = self.call(words), 2 if ": error: " in shown else 0
        else:
            number, expected = STRUCK[strike]
            before, _, after = shown.partition(f"\n{strike}")
            done, shown = self.call(words, before, number), before + after
        assert done.returncode == expected, f"$ {command.text}\n{done.stdout}"
        if shown:
            shown, came = plain(shown), plain(done.stdout, self.home)
            assert agrees(shown, came), f"$ {command.text}\nshown:\n{shown}\n\ncame:\n{came}"

    def call(self, words: list[str], until: str = "", number: int | None = None) -> subprocess.CompletedProcess[str]:
        """What comes of a command; it is sent the signal `number` once the lines `until` have come."""
        process = subprocess.Popen(
            words,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        timer, came = Timer(600, os.killpg, [process.pid, signal.SIGKILL]), ""
        timer.start()
        with process:
            assert process.stdout is not None
            for line in process.stdout:
                came += line
                if number is not None and agrees(plain(until), plain(came, self.home)):
                    os.killpg(process.pid, number)
                    number = None
        timer.cancel()
        return subprocess.CompletedProcess(words, process.returncode, came)

    def change(self, block: Block) -> None:
        _, header, *lines = block.text.splitlines()
        path = self.home / header.removeprefix("+++ ")
        text = path.read_text()
        for hunk in "\n".join(lines).split("\n@@\n"):
            marked = [(line[:1], line[1:]) for line in hunk.splitlines()]
            before = "".join(f"{line}\n" for mark, line in marked if mark != "+")
            after = "".join(f"{line}\n" for mark, line in marked if mark != "-")
            # The last line of a hunk may be the beginning of one.
            before, after = before.removesuffix("\n"), after.removesuffix("\n")
            assert text.count(before) == 1, f"line {block.line}: {header} has {text.count(before)} times\n{before}"
            text = text.replace(before, after)
        path.write_text(text)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_does_what_the_page_shows(page: Path, tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for block in blocks(page):
        reader.follow(block)


def test_a_command_that_is_not_run_is_on_a_page_and_what_it_needs_is_here() -> None:
    written = {command.text for page in PAGES for block in blocks(page) for command in commands(block)}
    for command, needed in NOT_RUN.items():
        if command == "make test" or command == "make docs":
            assert any(f"`{command}`" in page.read_text() for page in PAGES), command
        else:
            assert command in written, f"{command} stands on no page"
        assert (ROOT / needed).is_file(), f"{command} needs {needed}"
        if command.startswith("make "):
            assert f"\n{command.removeprefix('make ')}:" in (ROOT / "Makefile").read_text()


def test_links_lead_to_files_that_are_there() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            if not target.startswith("https://"):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.slow
def test_the_code_of_the_readme_passes_the_linter_and_the_type_checker(tmp_path: Path) -> None:
    reader = Reader(tmp_path)
    for block in blocks(PAGES[0]):
        if block.language == "diff" or block.text.startswith("# src/lab/"):
            reader.follow(block)
            lint = reader.call([sys.executable, "-m", "ruff", "check", "src/lab"])
            assert lint.returncode == 0, f"line {block.line}:\n{lint.stdout}"
    (reader.home / ".venv").symlink_to(sys.prefix)  # where pyproject.toml says it is
    checker = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable, "src/lab"]
    types = reader.call(checker)
    assert types.returncode == 0, types.stdout


def test_an_experiment_is_added_in_under_60_lines() -> None:
    page = list(blocks(PAGES[0]))
    [rings] = [block.text for block in page if block.text.startswith("# src/lab/experiments/rings.py")]
    [registered] = [block.text for block in page if "+++ src/lab/registry.py" in block.text]
    added = [line for line in registered.splitlines() if re.match(r"\+[^+]", line)]
    assert len(added) == 1
    assert len(rings.splitlines()) + len(added) < 60


def test_what_is_made_by_make_docs_is_current() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    for page, text in generate["pages"]().items():
        assert page.read_text(encoding="utf-8") == text, "run `make docs`"


def test_every_argument_is_explained_on_some_page() -> None:
    stock: list[type[Args]] = [ExperimentArgs, MachineConfig, RunOptions]
    for union in (ModelUnion, OptimizerUnion, SchedulerUnion):
        stock += get_args(union)
    stock += [made for name in dir(labwright.datasets) if is_args(made := getattr(labwright.datasets, name))]
    missing = [
        f"{model.__name__}.{name}"
        for model in stock
        for field, info in model.model_fields.items()
        if not re.search(rf"\b{(name := _flag(field, info))}\b", written("*.md"))
    ]
    assert not missing


def test_the_page_on_resuming_names_what_is_safe_to_change_and_what_must_not() -> None:
    page = written("resume.md")
    made = [getattr(labwright.datasets, name) for name in dir(labwright.datasets)]
    models = [ExperimentArgs, *filter(is_args, made)]
    for word, others in (("safe", set[str]()), ("forbidden", {"model"})):
        [cell] = re.findall(rf"^\| `{word}` \|.*\| (.*) \|$", page, flags=re.MULTILINE)
        names = {name for args in models for name in args.model_fields if policy_of(args, name) == word}
        assert set(re.findall(r"`(\w+)`", cell)) == names | others


def test_the_page_on_the_run_directory_explains_every_file_and_every_key_of_run_json() -> None:
    page, run = written("run_directory.md"), RunDirectory(Path("run"))
    files = [getattr(run, name).name for name in vars(RunDirectory) if re.fullmatch(r"(?!final)\w+_path", name)]
    files += [START, CERTIFICATE, notes.FILE_NAME, artifacts.FOLDER]
    assert [name for name in (*files, *RunFacts.__annotations__) if not re.search(rf"`{name}/?`", page)] == []


def is_args(made: object) -> bool:
    return isinstance(made, type) and issubclass(made, DatasetArgs)


def _flag(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def written(pages: str) -> str:
    """All that the pages of docs/ named like this say."""
    return "\n".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").glob(pages))


def unexplained(names: Iterable[str], pages: str) -> set[str]:
    """Those of the public names that never stand on these pages as code, alone or with arguments."""
    text = written(pages)
    return {name for name in names if not name.startswith("_") and not re.search(rf"[`.]{name}[`(]", text)}


def test_every_rung_event_and_attribute_of_an_experiment_is_explained() -> None:
    bases = [base for base in Experiment.__mro__ if base.__module__.startswith("labwright.")]
    names = {name for base in bases for name in (*vars(base), *vars(base).get("__annotations__", {}))}
    assert not unexplained(names, "experiments.md") & unexplained(names, "loop.md") & unexplained(names, "training.md")
    assert not unexplained([*vars(Hook), *RunResult.__annotations__], "experiments.md")


def test_the_drawing_of_an_experiment_is_in_the_order_of_what_happens(tmp_path: Path) -> None:
    drawing = next(block.text for block in blocks(ROOT / "docs" / "experiments.md") if block.language == "text")
    in_time = re.sub(r".* validation: .*", "", drawing)  # the other way that a batch can go
    words = dict.fromkeys(re.findall(r"[a-z_]+", in_time))
    drawn = [word for word in words if callable(getattr(Experiment, word, None))]
    called: list[str] = []

    def told(name: str) -> Callable[..., Any]:
        def method(self: Any, *given: Any, **named: Any) -> Any:
            called.append(name)
            return getattr(super(Watched, self), name)(*given, **named)

        return method

    Watched = type("Watched", (Experiment,), {name: told(name) for name in drawn})
    worst = {"best_model_metric": "accuracy", "minimize_best_model_metric": True}  # so that an earlier epoch is best
    args = DigitsArgs(epochs=2, model=MLPArgs(hidden_sizes=[8]), **worst)
    Watched(args, MachineConfig(results_dir=tmp_path, use_cuda=False)).run()
    assert list(dict.fromkeys(called)) == drawn


def test_what_others_build_upon_is_explained() -> None:
    for room in (labwright.datasets, labwright.metrics, labwright.runs.plots):
        names = [name for name in dir(room) if not is_args(getattr(room, name))]
        assert not unexplained(names, "*.md"), room.__name__
    assert not unexplained(vars(Stepper), "training.md")


def test_the_readme_lists_the_experiments_that_there_are() -> None:
    readme = PAGES[0].read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| \[`(\w+)`\]\(src/([\w/]+)\.py\) \|", readme, flags=re.MULTILINE))
    assert list(listed) == list(EXPERIMENTS)
    for experiment_id, place in EXPERIMENTS.items():
        package = place.partition(":")[0].removesuffix(".args").replace(".", "/")
        assert listed[experiment_id] in (package, f"{package}/experiment")


def test_the_readme_names_every_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    readme = PAGES[0].read_text(encoding="utf-8")
    assert [extra for extra in extras if f"`{extra}`" not in readme] == []
