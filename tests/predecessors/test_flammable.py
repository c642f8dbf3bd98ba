"""What Flammable's master algorithm has, and what was seen to break in it."""

import io
import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright import import_run
from labwright.args import RunOptions
from labwright.session import Launch

from ..conftest import Ended
from ..repositories import forget_settings, git, new_repository

ROOT = Path(__file__).parents[2]
BRANCH = "a-branch-of-mine"
QUIETLY = RunOptions(predictions="none")
FLOWN = """
from tests.points import Points, PointsArgs
from labwright.datasets import Splits


class FlownArgs(PointsArgs):
    def build(self, machine):
        return Flown(self, machine)


class Flown(Points):
    VERSION = 1

    def build_datasets(self):
        splits = super().build_datasets()
        test = {"test": splits.test["test"].subset(range(20))}
        return Splits(train=splits.train, val=splits.val, test=test, task=splits.task, num_outputs=2, name=splits.name)
"""

Make = Callable[..., Any]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository in use: a file that was changed since it was committed, and one that git was never told of."""
    forget_settings(monkeypatch, tmp_path)
    files = {"run.py": "", "model.py": "LAYERS = 1\n", "pyproject.toml": "", ".gitignore": "config.yaml\n"}
    folder = new_repository(tmp_path / "lab", files)
    git(folder, "branch", "--move", BRANCH)
    (folder / "model.py").write_text("LAYERS = 2\n")
    (folder / "new.py").write_text("untracked\n")
    return folder


@pytest.fixture
def lab_line(
    lab: Path, command_line: Callable[..., Ended], points_args: Any, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Ended]:
    """The command line of that lab, whose only experiment is the one on points."""
    monkeypatch.setattr("sys.argv", [str(lab / "run.py")])

    def run(*words: str) -> Ended:
        return command_line("--use_cuda=false", *words, experiments=points_args)

    return run


def users_things(lab: Path) -> list[object]:
    """What is the user's: files, branches, stash and the log of what was done."""
    questions = ("status --porcelain=v2 --branch", "stash list", "reflog --all", "for-each-ref refs/heads refs/tags")
    return [*(git(lab, "--no-optional-locks", *words.split()) for words in questions), (lab / ".git/HEAD").read_bytes()]


@pytest.mark.usefixtures("no_pictures")
def test_run_is_bound_to_the_exact_code_and_has_a_directory_of_its_own(make: Make, lab: Path) -> None:
    runs = []
    for text in ("LAYERS = 2\n", "LAYERS = 3\n"):
        (lab / "model.py").write_text(text)
        runs.append(make().run(QUIETLY, launch=Launch(cwd=lab)).run_dir)
    first, second = (json.loads((run / "run.json").read_bytes())["git"] for run in runs)
    assert runs[0] != runs[1] and first["commit"] == second["commit"] == git(lab, "rev-parse", BRANCH)
    assert (first["branch"], first["dirty"]) == (BRANCH, True)
    for record, text in ((first, "LAYERS = 2"), (second, "LAYERS = 3")):
        assert git(lab, "show", f"{record['snapshot']}:model.py") == text
        assert git(lab, "show", f"{record['snapshot']}:new.py") == "untracked"


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("head", ["branch", "detached", "unborn"])
def test_run_commits_nothing_for_its_user_whatever_the_branch_is_called(make: Make, lab: Path, head: str) -> None:
    """It committed on the user's own branch, untracked data included, and assumed a branch called master."""
    if head == "detached":
        git(lab, "switch", "--detach")
    elif head == "unborn":
        git(lab, "update-ref", "-d", "HEAD")
    data = lab / "data.bin"
    data.write_bytes(bytes(6 * 2**20))
    before = users_things(lab), (lab / ".git" / "index").read_bytes()
    record = json.loads((make().run(QUIETLY, launch=Launch(cwd=lab)).run_dir / "run.json").read_bytes())
    assert (users_things(lab), (lab / ".git" / "index").read_bytes()) == before
    assert "data.bin" not in git(lab, "ls-tree", "-r", "--name-only", record["git"]["snapshot"]).split()
    assert record["git"]["skipped"] == [{"path": "data.bin", "reason": "larger than 5 MB"}]


@pytest.mark.usefixtures("no_pictures")
def test_unchanged_code_and_config_are_not_trained_again_unless_forced(
    lab: Path, lab_line: Callable[..., Ended]
) -> None:
    first = lab_line("--skip_existing")
    again = lab_line("--skip_existing")
    assert (again.code, again.runs) == (0, [first.run])
    assert f"already trained as {first.run.name}; --force trains again" in again.err
    assert len(lab_line("--skip_existing", "--force").runs) == 2
    assert len(lab_line("--skip_existing", "--epochs=1").runs) == 3
    (lab / "model.py").write_text("LAYERS = 3\n")
    assert len(lab_line("--skip_existing").runs) == 4


@pytest.mark.usefixtures("no_pictures")
@pytest.mark.parametrize("mode", ["test", "predict"])
def test_testing_and_predicting_say_that_the_code_has_changed(
    lab: Path, lab_line: Callable[..., Ended], mode: str
) -> None:
    words = (f"--mode={mode}", f"--from_checkpoint={lab_line().run}")
    assert "the code has changed" not in lab_line(*words).err
    (lab / "model.py").write_text("LAYERS = 3\n")
    ended = lab_line(*words)
    assert ended.code == 0
    assert f"{ended.runs[0].name} was trained: model.py" in ended.err


@pytest.mark.usefixtures("no_pictures")
def test_old_run_is_live_again_with_its_code_its_weights_and_its_data(
    lab: Path, command_line: Callable[..., Ended], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Time travel; in fresh processes: tests/test_imported.py."""
    flown = lab / "src" / "flown"
    flown.mkdir(parents=True)
    (flown / "registry.py").write_text('EXPERIMENTS = {"flown": "flown.experiment:FlownArgs"}\n')
    (flown / "experiment.py").write_text(FLOWN)
    (lab / "pyproject.toml").write_text('[tool.labwright]\nregistry = "flown.registry:EXPERIMENTS"\n')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sys.argv", [str(lab / "run.py")])
    monkeypatch.setattr("sys.path", [str(lab / "src"), *sys.path])
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    run = command_line("--experiment_id=flown", experiments={"flown": "flown.experiment:FlownArgs"})
    assert run.code == 0, run.err
    (flown / "experiment.py").write_text(FLOWN.replace("VERSION = 1", "VERSION = 2").replace("range(20)", "range(3)"))
    forget_modules("flown")
    experiment = import_run(str(run.run))
    forget_modules("flown")
    assert experiment.VERSION == 1
    assert experiment.evaluate(experiment.splits.test)["test"] == run.test
    assert len(experiment.predict("test")) == 20


def forget_modules(package: str) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        del sys.modules[name]


def test_importing_an_experiment_runs_nothing_and_asks_nothing() -> None:
    """It prompted on stdin at import."""
    code = """
import sys
from lab.registry import EXPERIMENTS
from labwright.args.registry import resolve
for experiment_id in EXPERIMENTS:
    if experiment_id != "jax_mlp":
        resolve(EXPERIMENTS, experiment_id)
print("quiet")
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "src",
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.stdout == "quiet\n", done.stderr


@pytest.mark.parametrize("program", ["run.py", "src/lab/wild_west/teacher_student.py", "one_file.py"])
def test_importing_a_script_runs_nothing_and_asks_nothing(
    program: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ran, and asked whether to commit."""
    script = ROOT / program
    if not script.exists():
        script = tmp_path / program
        script.write_text("from labwright.cli import main\nfrom tests.points import PointsArgs\n")
        with script.open("a") as file:
            file.write('if __name__ == "__main__":\n    main(PointsArgs)\n')
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    monkeypatch.setattr("sys.path", [*sys.path])
    stdin = io.StringIO("y\n")
    monkeypatch.setattr("sys.stdin", stdin)
    assert "main" in runpy.run_path(str(script), run_name="imported")
    assert stdin.tell() == 0 and [*Path.cwd().iterdir()] == []
    assert capsys.readouterr() == ("", "")


def test_each_step_of_the_master_algorithm_is_a_method(make: Callable[..., Any], points: Any) -> None:
    seen: list[str] = []

    def noting(name: str) -> Any:
        def method(self: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(name)
            return getattr(points, name)(self, *args, **kwargs)

        return method

    steps = ["prepare_batch", "forward", "compute_loss", "backward", "step", "eval_batch", "predict_batch"]
    parts = ["build_datasets", "build_model", "build_optimizer", "build_scheduler", "build_metrics", "build_loader"]
    rungs = ["run_experiment", "run_epoch", "run_dataset", "run_batch", "store_model", "plot"]
    watched = type("Watched", (points,), {name: noting(name) for name in [*steps, *parts, *rungs]})
    make(watched, epochs=1, batch_size=60).run()
    assert seen.index("prepare_batch") < seen.index("forward") < seen.index("backward") < seen.index("step")
    assert set(seen) == {*steps, *parts, *rungs}


def test_values_are_kept_from_any_hook_and_only_collected_without_a_run(make: Callable[..., Any], points: Any) -> None:
    class Keeping(points):
        def on_epoch_end(self) -> None:
            self.append("epochs", {"epoch": self.epoch})

        def on_test_end(self) -> None:
            self.store("weights", self.model.head.weight)

    experiment = make(Keeping)
    experiment.store("note", "before the run")
    assert experiment.artifacts.values == {"note": "before the run"}
    folder = experiment.run(RunOptions(predictions="none")).run_dir / "artifacts"
    assert (folder / "epochs.jsonl").read_text().count("\n") == 2 and (folder / "weights.npy").is_file()
    assert (folder / "note.txt").read_text() == "before the run"
