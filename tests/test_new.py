"""`labwright new` writes a lab that works as it stands, whole or not at all."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from labwright import new
from labwright.args.errors import UserError
from labwright.new import project_name, write_lab

ROOT = Path(__file__).parents[1]

LAB = {
    ".gitignore",
    "README.md",
    "config.yaml.example",
    "pyproject.toml",
    "run.py",
    "src/lab/__init__.py",
    "src/lab/datasets/__init__.py",
    "src/lab/datasets/args.py",
    "src/lab/datasets/spirals.py",
    "src/lab/experiments/__init__.py",
    "src/lab/experiments/spirals.py",
    "src/lab/models/__init__.py",
    "src/lab/models/args.py",
    "src/lab/models/sine_mlp.py",
    "src/lab/registry.py",
    "tests/test_spirals.py",
}


def python(*words: str, at: Path, library: Path = ROOT / "src") -> subprocess.CompletedProcess[str]:
    """A fresh Python in the folder `at`, with labwright and without this repository's lab."""
    environment = {**os.environ, "PYTHONPATH": str(library)}
    return subprocess.run(
        [sys.executable, *words], cwd=at, env=environment, capture_output=True, text=True, timeout=600
    )


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder with its content."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """labwright alone, as pip installs it."""
    folder = tmp_path_factory.mktemp("site-packages")
    shutil.copytree(ROOT / "src" / "labwright", folder / "labwright")
    return folder


def test_lab_is_written_and_the_next_commands_are_said(tmp_path: Path) -> None:
    said = write_lab(tmp_path / "deep" / "My lab")
    assert set(tree(tmp_path / "deep" / "My lab")) == LAB
    assert f"cd '{tmp_path}/deep/My lab'\n  python run.py --experiment_id=spirals" in said
    assert os.listdir(tmp_path / "deep") == ["My lab"]


def test_lab_has_this_machines_settings_as_an_example(tmp_path: Path) -> None:
    write_lab(tmp_path / "mylab")
    example = (tmp_path / "mylab" / "config.yaml.example").read_text(encoding="utf-8")
    assert example == (ROOT / "config.yaml.example").read_text(encoding="utf-8")


def test_empty_folder_is_filled_and_stays_the_same_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "mylab"
    folder.mkdir()
    inode = folder.stat().st_ino
    monkeypatch.chdir(folder)
    write_lab(Path("."))
    assert set(tree(folder)) == LAB
    assert folder.stat().st_ino == inode


@pytest.mark.parametrize("name", ["full", "full/file", "full/file/below"])
def test_place_that_is_taken_is_refused_and_left_alone(name: str, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").write_text("mine")
    with pytest.raises(UserError, match=r"^new: .* (exists and is not an empty folder|cannot be written)"):
        write_lab(tmp_path / name)
    assert tree(tmp_path) == {"full/file": b"mine"}


@pytest.mark.parametrize("is_there", [True, False])
def test_lab_that_cannot_be_finished_leaves_nothing(
    is_there: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk() -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(new, "example_yaml", full_disk)
    folder = tmp_path / "mylab"
    if is_there:
        folder.mkdir()
    with pytest.raises(UserError, match=r"mylab cannot be written \(No space left on device\)"):
        write_lab(folder)
    assert list(tmp_path.rglob("*")) == ([folder] if is_there else [])


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("mylab", "mylab"),
        ("My Lab", "my-lab"),
        ("lab_2.0!", "lab-2-0"),
        ("実験", "mylab"),
        ("labwright", "mylab"),
        ("--", "mylab"),
    ],
)
def test_project_has_a_valid_name_whatever_the_folders(folder: str, name: str, tmp_path: Path) -> None:
    assert project_name(Path(folder)) == name
    write_lab(tmp_path / folder)
    project = tomllib.loads((tmp_path / folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["name"] == name
    assert re.fullmatch(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?", name)


def test_lab_answers_for_itself(tmp_path: Path, library: Path) -> None:
    write_lab(tmp_path / "mylab")
    overview = python("run.py", at=tmp_path / "mylab", library=library)
    assert "Which arm of a spiral does a point lie on?" in overview.stdout
    assert "mnist" not in overview.stdout
    flags = python("-X", "importtime", "run.py", "--experiment_id=spirals", "--help", at=tmp_path / "mylab")
    assert "--hidden_sizes" in flags.stdout
    assert "--num_arms" in flags.stdout
    assert not re.search(r"\| +(torch|numpy)$", flags.stderr, flags=re.MULTILINE)


@pytest.mark.slow
def test_lab_trains_and_passes_its_test(tmp_path: Path, library: Path) -> None:
    write_lab(tmp_path / "mylab")
    lab = tmp_path / "mylab"
    trained = python("run.py", "--experiment_id=spirals", "--use_cuda=false", "--epochs=3", at=lab, library=library)
    assert trained.returncode == 0, trained.stderr
    assert len(list(lab.glob("results/spirals/*/history.png"))) == 1
    installed = python("-m", "labwright", "--experiment_id=spirals", "--only_tset", at=lab / "tests", library=library)
    assert "--only_test" in installed.stderr
    tested = python("-m", "pytest", "-q", "-p", "no:cacheprovider", at=lab, library=library)
    assert "1 passed" in tested.stdout, tested.stdout


@pytest.mark.slow
def test_wheel_holds_labwright_alone_and_writes_a_lab(tmp_path: Path) -> None:
    source = tmp_path / "source"
    skip = shutil.ignore_patterns("*.egg-info")
    shutil.copytree(ROOT / "src", source / "src", ignore=skip)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    built = python("-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", str(tmp_path), ".", at=source)
    assert built.returncode == 0, built.stderr
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    assert {path.name.split("-")[0] for path in (tmp_path / "installed").iterdir()} == {"labwright"}
    files = {name for name in tree(tmp_path / "installed") if name.startswith("labwright/")}
    assert "labwright/py.typed" in files
    assert {f"labwright/templates/lab/{name}" for name in LAB - {"config.yaml.example"}} == {
        name for name in files if name.startswith("labwright/templates/")
    }
    done = python("-m", "labwright", "new", "mylab", at=tmp_path, library=tmp_path / "installed")
    assert done.returncode == 0, done.stderr
    assert set(tree(tmp_path / "mylab")) == LAB
