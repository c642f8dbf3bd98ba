"""The README and docs/ do what they say: every command runs, every output shown is what comes.

What a fenced block of a page means here:

console: `$ ` commands, run in order; what is shown below them has to come, `...` standing for anything.
python: a file, if its first line is a comment with its path; else a program, run as it stands.
diff: a change to a file that is there, its hunks divided by `@@`.
"""

import os
import re
import runpy
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, get_args

import pytest
from pydantic.fields import FieldInfo

from labwright import Args, Experiment, ExperimentArgs, MachineConfig, RunOptions
from labwright.datasets import DatasetUnion
from labwright.models import ModelUnion
from labwright.optimizers import OptimizerUnion
from labwright.schedulers import SchedulerUnion

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
    "tensorboard --logdir results": "pyproject.toml",
    "pip install lightning 'jsonargparse[signatures]' hydra-core transformers accelerate": "docs/comparison.md",
}
"""Commands that need a network, a package of others or a person, each with a file here that it needs or stands in."""
NEEDS_OTHERS = ("with_lightning.py", "with_hydra.py", "with_trainer.py")
"""Programs of docs/comparison.md, which need packages that labwright does not."""


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
        text = text.replace(str(folder), HOME)
    text = re.sub(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[0-9a-f]{4}", "RUN", text)
    text = re.sub(r"[0-9a-f]{64}", "SHA", text)
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
    """Somebody who follows a page in a copy of the repository of their own, without a network."""

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
        self.environment = os.environ | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.home / "src"),
            "OMP_NUM_THREADS": "1",
            "http_proxy": nowhere,
            "https_proxy": nowhere,
        }

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
        done = self.call(["bash", "-c", command.text])
        expected = 2 if ": error: " in command.shown else 0
        assert done.returncode == expected, f"$ {command.text}\n{done.stdout}"
        if command.shown:
            shown, came = plain(command.shown), plain(done.stdout, self.home)
            assert agrees(shown, came), f"$ {command.text}\nshown:\n{shown}\n\ncame:\n{came}"

    def call(self, words: list[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            words,
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )

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


def test_the_page_of_flags_is_current() -> None:
    generate = runpy.run_path(str(ROOT / "docs" / "generate.py"))
    assert (ROOT / "docs" / "flags.md").read_text(encoding="utf-8") == generate["page"](), "run `make docs`"


def test_every_argument_is_explained_on_some_page() -> None:
    written = " ".join(page.read_text() for page in PAGES if page.parent.name == "docs")
    stock: list[type[Args]] = [ExperimentArgs, MachineConfig, RunOptions]
    for union in (ModelUnion, DatasetUnion, OptimizerUnion, SchedulerUnion):
        stock += get_args(union)
    missing = [
        f"{model.__name__}.{name}"
        for model in stock
        for field, info in model.model_fields.items()
        if not re.search(rf"\b{(name := _flag(field, info))}\b", written)
    ]
    assert not missing


def _flag(name: str, field: FieldInfo) -> str:
    return field.validation_alias if isinstance(field.validation_alias, str) else name


def test_every_step_event_and_attribute_of_an_experiment_is_explained() -> None:
    written = (ROOT / "docs" / "experiments.md").read_text()
    names = [name for name in (*vars(Experiment), *Experiment.__annotations__) if not name.startswith("_")]
    assert [name for name in names if not re.search(rf"`{name}[`(]", written)] == []
