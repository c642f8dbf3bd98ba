"""What Flammable's master algorithm has, and what was seen to break in it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.args import RunOptions

ROOT = Path(__file__).parents[2]


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.mark.slow
def test_run_commits_nothing_and_touches_no_branch_whatever_it_is_called(tmp_path: Path) -> None:
    """It committed on the user's own branch, untracked data included, and assumed a branch called master."""
    git(tmp_path, "init", "-q", "-b", "a-branch-of-mine")
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "-qm", "mine")
    (tmp_path / "data.bin").write_bytes(b"untracked")
    before = [git(tmp_path, *words) for words in (["log", "--all", "--oneline"], ["branch", "-a"], ["stash", "list"])]
    words = ["--experiment_id=digits", "--debug", "--use_cuda=false", "--quiet"]
    subprocess.run([sys.executable, ROOT / "run.py", *words], cwd=tmp_path, check=True, capture_output=True)
    after = [git(tmp_path, *words) for words in (["log", "--all", "--oneline"], ["branch", "-a"], ["stash", "list"])]
    assert after == before
    assert git(tmp_path, "diff", "--cached", "--name-only") == ""


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
        timeout=120,
    )
    assert done.stdout == "quiet\n", done.stderr


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
