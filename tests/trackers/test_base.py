"""The guard around trackers, and what happens where their packages are missing."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from labwright.args import UserError
from labwright.trackers import GuardedTrackers, RunInfo, Status, TensorBoardTracker, Tracker, WandbTracker

RUN = RunInfo(experiment_id="digits", run_dir=Path("results/digits/first"))


class Notebook(Tracker):
    """Writes down what it hears, until the call it was told to fail at."""

    name = "notebook"

    def __init__(self, *, fail_at: str = "", message: str = "the pencil broke") -> None:
        self.heard: list[str] = []
        self.fail_at = fail_at
        self.message = message

    def start(self, run: RunInfo) -> None:
        self._hear("start")

    def log_step(self, step: int, values: Mapping[str, float]) -> None:
        self._hear("step")

    def log_epoch(self, epoch: int, step: int, metrics: Mapping[str, float]) -> None:
        self._hear("epoch")

    def finish(self, status: Status, summary: Mapping[str, Any], plots: Sequence[Path]) -> None:
        self._hear(f"finish {status}")

    def _hear(self, call: str) -> None:
        self.heard.append(call)
        if call.split()[0] == self.fail_at:
            raise RuntimeError(self.message)


def track_a_run(trackers: Tracker) -> None:
    trackers.start(RUN)
    for epoch in (1, 2):
        trackers.log_step(epoch, {"loss": 0.5})
        trackers.log_epoch(epoch, epoch, {"val/loss": 0.5})
    trackers.finish("finished", {}, [])


def test_a_run_is_told_to_every_tracker_in_order() -> None:
    notebooks = [Notebook(), Notebook()]
    track_a_run(GuardedTrackers(notebooks, pytest.fail))
    for notebook in notebooks:
        assert notebook.heard == ["start", "step", "epoch", "step", "epoch", "finish finished"]


@pytest.mark.parametrize(
    ("fail_at", "heard"),
    [
        ("start", ["start", "finish failed"]),
        ("step", ["start", "step", "finish failed"]),
        ("epoch", ["start", "step", "epoch", "finish failed"]),
        ("finish", ["start", "step", "epoch", "step", "epoch", "finish finished"]),
    ],
)
def test_a_failing_tracker_is_closed_with_one_warning_and_the_others_go_on(fail_at: str, heard: list[str]) -> None:
    failing, healthy, warnings = Notebook(fail_at=fail_at), Notebook(), list[str]()
    track_a_run(GuardedTrackers([failing, healthy], warnings.append))
    assert warnings == ["notebook failed and is switched off: RuntimeError: the pencil broke"]
    assert failing.heard == heard
    assert healthy.heard[-1] == "finish finished"


def test_a_warning_is_one_line_and_masks_secrets() -> None:
    warnings = list[str]()
    leaky = Notebook(fail_at="start", message="401 for key abc123-long\nTraceback of the server: ...")
    track_a_run(GuardedTrackers([leaky], warnings.append, secrets=["", "abc123", "abc123-long"]))
    assert warnings == ["notebook failed and is switched off: RuntimeError: 401 for key ********"]


def test_a_secret_in_the_config_is_masked_before_a_tracker_hears_it() -> None:
    class Listener(Tracker):
        def start(self, run: RunInfo) -> None:
            self.config = run.config

    listener = Listener()
    config = {"dataset": {"url": "https://me:abc123@host", "api_key": "other"}, "epochs": 2}
    run = RunInfo(experiment_id="digits", run_dir=Path("run"), config=config)
    GuardedTrackers([listener], pytest.fail, secrets=["abc123"]).start(run)
    assert listener.config == {"dataset": {"url": "https://me:********@host", "api_key": "********"}, "epochs": 2}


class Diary(Tracker):
    """Writes a page per start and knows the number of the last one."""

    def __init__(self, name: str = "diary", *, torn: bool = False) -> None:
        self.name = name
        self.torn = torn
        self.page = 0

    def start(self, run: RunInfo) -> None:
        self.page = 1 if run.resumed is None else run.resumed["page"] + 1
        if self.torn:
            raise RuntimeError("no paper")

    def state(self) -> dict[str, Any]:
        return {"page": self.page}


def resumed(states: dict[str, Any]) -> RunInfo:
    return RunInfo(experiment_id="digits", run_dir=RUN.run_dir, resumed=states, resumed_step=10, resumed_epoch=1)


def test_each_tracker_is_told_its_own_state_when_the_run_is_resumed() -> None:
    first = GuardedTrackers([Diary(), Diary(), Diary("log book")], pytest.fail)
    assert first.state() == {}
    first.start(RUN)
    assert first.state() == {"diary": {"page": 1}, "diary 2": {"page": 1}, "log book": {"page": 1}}
    again = GuardedTrackers([Diary("log book"), Diary()], pytest.fail)
    again.start(resumed({"diary": {"page": 4}, "log book": {"page": 7}}))
    assert again.state() == {"diary": {"page": 5}, "log book": {"page": 8}}


def test_the_state_of_a_tracker_that_is_absent_fails_or_has_finished_is_kept_for_the_next_resume() -> None:
    earlier = {"diary": {"page": 4}, "log book": {"page": 7}}
    warnings = list[str]()
    trackers = GuardedTrackers([Diary(torn=True)], warnings.append)
    trackers.start(resumed(earlier))
    trackers.finish("finished", {}, [])
    assert trackers.state() == earlier
    assert warnings == ["diary failed and is switched off: RuntimeError: no paper"]


def test_a_tracker_that_cannot_continue_says_so_and_begins_anew() -> None:
    warnings = list[str]()
    trackers = GuardedTrackers([Diary(), Notebook()], warnings.append)
    trackers.start(resumed({"diary": {"page": 1}}))
    assert warnings == ["notebook has no record of this run to continue and begins a new one"]
    trackers.finish("finished", {}, [])


def test_a_state_that_is_no_json_switches_its_tracker_off() -> None:
    class Hoarder(Diary):
        def state(self) -> dict[str, Any]:
            return {"everything": {1, 2}}

    warnings = list[str]()
    trackers = GuardedTrackers([Hoarder("hoarder"), Diary()], warnings.append)
    trackers.start(RUN)
    assert trackers.state() == {"diary": {"page": 1}}
    assert warnings == ["hoarder failed and is switched off: TypeError: Object of type set is not JSON serializable"]


def test_ctrl_c_inside_a_tracker_still_stops_the_run() -> None:
    class Interrupted(Tracker):
        def log_step(self, step: int, values: Mapping[str, float]) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        track_a_run(GuardedTrackers([Interrupted()], pytest.fail))


def test_a_run_without_a_name_is_shown_under_its_directory() -> None:
    assert RUN.display_name == "first"
    assert RunInfo(experiment_id="digits", run_dir=RUN.run_dir, run_name="wide").display_name == "wide"


@pytest.mark.parametrize(
    ("package", "tracker", "install"),
    [
        ("wandb", WandbTracker, "pip install wandb"),
        ("tensorboard", TensorBoardTracker, 'pip install "labwright[tensorboard]"'),
    ],
)
def test_a_missing_package_is_named_with_the_command_that_installs_it(
    package: str, tracker: type[Tracker], install: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UserError) as refused:
        tracker()
    assert str(refused.value) == f"{package} is not installed; it comes with: {install}"


def test_a_folder_of_wandb_runs_is_not_mistaken_for_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """W&B writes its runs into `./wandb`, which Python takes for an empty package where the real one is missing."""
    (tmp_path / "wandb").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path)])
    monkeypatch.delitem(sys.modules, "wandb", raising=False)
    with pytest.raises(UserError, match="wandb is not installed"):
        WandbTracker()


def test_the_room_imports_no_tracker_and_works_where_they_cannot_be_imported() -> None:
    story = """
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("wandb", "tensorboard", "torch"):
            raise ModuleNotFoundError(f"No module named {name!r}")

sys.meta_path.insert(0, Absent())
from labwright.args import UserError
from labwright.trackers import GuardedTrackers, RunInfo, TensorBoardTracker, Tracker, WandbTracker

for tracker in (WandbTracker, TensorBoardTracker):
    try:
        tracker()
    except UserError as error:
        print(error)
guarded = GuardedTrackers([Tracker()], print)
guarded.log_epoch(1, 10, {"val/loss": 0.1})
assert not {"wandb", "tensorboard", "torch", "numpy"} & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", story], capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "wandb is not installed; it comes with: pip install wandb",
        'tensorboard is not installed; it comes with: pip install "labwright[tensorboard]"',
    ]
