"""The files which set up a machine agree with each other, and `make` installs each thing once."""

import os
import re
import subprocess
import tomllib
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from labwright.args.machine import example_yaml

ROOT = Path(__file__).parents[1]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
Ended = subprocess.CompletedProcess[str]
DEMO = 'run.py --experiment_id=mnist --use_cuda=false --hidden_sizes="[64]"'


def pins() -> dict[str, str]:
    """constraints.txt: distribution -> version."""
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return dict(line.split("==") for line in lines if not line.startswith("#"))


def declared(*without: str) -> list[Requirement]:
    """Every requirement of pyproject.toml, extras but `without` included, but for labwright's own extras."""
    groups = PROJECT["optional-dependencies"].items()
    extras = [text for extra, texts in groups if extra not in without for text in texts]
    requirements = map(Requirement, [*PROJECT["dependencies"], *extras])
    return [requirement for requirement in requirements if requirement.name != PROJECT["name"]]


def needed(requirements: list[Requirement]) -> Iterator[str]:
    """What these requirements bring into this environment, directly or not."""
    done: set[tuple[str, frozenset[str]]] = set()
    while requirements:
        requirement = requirements.pop()
        name, extras = canonicalize_name(requirement.name), frozenset(requirement.extras)
        if (name, extras) in done:
            continue
        done.add((name, extras))
        yield name
        for text in distribution(name).requires or []:
            further = Requirement(text)
            if not further.marker or any(further.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
                requirements.append(further)


def test_every_dependency_is_pinned_at_an_allowed_version() -> None:
    pinned = pins()
    wrong = [
        f"{requirement}: pinned is {pinned.get(canonicalize_name(requirement.name))}"
        for requirement in declared()
        if not requirement.specifier.contains(pinned.get(canonicalize_name(requirement.name), "0"))
    ]
    assert wrong == []


def test_every_dependency_has_a_lower_bound() -> None:
    assert [str(each) for each in declared() if [spec.operator for spec in each.specifier] != [">="]] == []


def test_dependencies_of_dependencies_are_pinned_too() -> None:
    gpu = re.compile(r"nvidia-|cuda-|triton$")  # torch's CUDA build pins these itself
    # The frameworks that labwright is measured against are not installed for tests, nor is torchvision.
    known = declared("bench", "vision")
    assert [name for name in needed(known) if name not in pins() and not gpu.match(name)] == []


def test_pins_are_sorted_and_good_for_every_build_of_a_version() -> None:
    pinned = pins()
    assert list(pinned) == sorted(pinned)
    assert [name for name in pinned if name != canonicalize_name(name) or name.startswith("nvidia-")] == []
    assert [version for version in pinned.values() if Version(version).local] == []  # no +cpu


def test_conda_environment_installs_the_same() -> None:
    environment = yaml.safe_load((ROOT / "environment.yaml").read_text(encoding="utf-8"))
    python, pip, packages = environment["dependencies"]
    assert SpecifierSet(PROJECT["requires-python"]).contains(python.removeprefix("python="))
    assert pip == "pip"
    assert packages == {"pip": ["-c constraints.txt", "-e .[dev]"]}
    assert environment["name"] == PROJECT["name"]


def test_config_example_is_what_the_machine_config_says() -> None:
    assert (ROOT / "config.yaml.example").read_text(encoding="utf-8") == example_yaml()


def test_hooks_run_what_is_installed() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    [repository] = config["repos"]
    assert repository["repo"] == "local"
    programs = {hook["entry"].split()[0] for hook in repository["hooks"]}
    installed = {
        f".venv/bin/{script.name}"
        for name in ("ruff", "pre-commit-hooks")
        for script in [*distribution(name).entry_points, *map(Path, distribution(name).files or [])]
    }
    assert programs <= installed


def test_ci_runs_the_tests() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "exec make test"


FAKE_PYTHON = """#!/bin/sh
# Stands in for Python: answers for its version, makes an environment of itself, and writes down all else.
case "$*" in
    --version) echo "Python $FAKE_VERSION" ;;
    *version_info*) case "$FAKE_VERSION" in 3.1[1-9]*) exit 0 ;; *) exit 1 ;; esac ;;
    "-m venv .venv") mkdir -p .venv/bin && cp "$0" .venv/bin/python && echo "$*" >> calls ;;
    *) echo "$*" >> calls; [ -z "$FAKE_FAILS" ] ;;
esac
"""


class Checkout:
    """A checkout in which `make` runs for real, with a stand-in for Python."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("Makefile", "pyproject.toml", "constraints.txt"):
            (folder / name).write_bytes((ROOT / name).read_bytes())
        self.python = folder / "python"
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)

    def make(self, *words: str, version: str = "3.11.7", fails: str = "") -> tuple[Ended, list[str]]:
        """How it ended, and what was asked of Python."""
        calls = self.folder / "calls"
        calls.write_text("")
        # flags of a `make test` that these tests may run under are not ours
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
        done = subprocess.run(
            ["make", f"PYTHON={self.python}", *words],
            cwd=self.folder,
            env={**inherited, "FAKE_VERSION": version, "FAKE_FAILS": fails},
            capture_output=True,
            text=True,
        )
        return done, calls.read_text().splitlines()

    def installs(self, target: str) -> list[str]:
        """What `make target` installs."""
        done, calls = self.make(target)
        assert done.returncode == 0, done.stderr
        return [call.rpartition(" -e ")[2] for call in calls if "pip install" in call]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_demo_makes_an_environment_and_runs_the_main_command(checkout: Checkout) -> None:
    done, calls = checkout.make("demo")
    assert DEMO in done.stdout
    assert [call.split()[0:3] for call in calls] == [
        ["-m", "venv", ".venv"],
        ["-m", "pip", "install"],
        ["run.py", "--experiment_id=mnist", "--use_cuda=false"],
    ]
    assert "-c constraints.txt -e ." in calls[1]


def test_second_demo_installs_nothing(checkout: Checkout) -> None:
    assert checkout.installs("demo") == ["."]
    assert checkout.installs("demo") == []


def test_tests_after_a_demo_install_what_is_missing_and_no_demo_installs_again(checkout: Checkout) -> None:
    assert checkout.installs("demo") == ["."]
    assert checkout.installs("test") == [".[dev]"]
    assert checkout.installs("test") == []
    assert checkout.installs("demo") == []


def test_demo_after_tests_installs_nothing(checkout: Checkout) -> None:
    assert checkout.installs("test") == [".[dev]"]
    assert checkout.installs("demo") == []


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_changed_dependencies_are_installed(name: str, checkout: Checkout) -> None:
    checkout.installs("demo")
    later = (checkout.folder / ".venv" / ".demo").stat().st_mtime + 2
    os.utime(checkout.folder / name, (later, later))
    assert checkout.installs("demo") == ["."]


def test_install_that_failed_is_tried_again(checkout: Checkout) -> None:
    done, _ = checkout.make("demo", fails="yes")
    assert done.returncode != 0
    assert DEMO not in done.stdout
    assert checkout.installs("demo") == ["."]


def test_tests_are_linted_typed_and_run_fast_ones_first(checkout: Checkout) -> None:
    _, calls = checkout.make("test")
    assert [call.removeprefix("-m ") for call in calls[2:]] == [
        "ruff check .",
        "ruff format --check .",
        "basedpyright",
        "pytest -n 2 -m not slow and not kill",
        "pytest -n 2 -m slow and not kill",
        "pytest -n 2 -m kill",
    ]


def test_old_python_is_refused_in_one_line(checkout: Checkout) -> None:
    done, calls = checkout.make("demo", version="3.10.4")
    assert done.returncode != 0
    assert calls == []
    [line, _] = done.stderr.splitlines()  # the second one is make's own
    assert "is Python 3.10.4; labwright needs Python 3.11 or newer" in line


def test_missing_python_is_refused_in_one_line(checkout: Checkout) -> None:
    checkout.python.unlink()
    done, _ = checkout.make("demo")
    [line, _] = done.stderr.splitlines()
    assert "python is not installed; labwright needs Python 3.11 or newer" in line
