"""A run that is stopped anywhere and taken up again ends as if nothing had happened."""

import json
import signal
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labwright.args import RunOptions, UserError
from labwright.args.errors import Terminated
from labwright.loop import Hook
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs
from labwright.runs import CheckpointStore, RunDirectory, host, open_run, versions
from labwright.schedulers import CosineArgs
from labwright.session.earlier import differences_of_environment
from labwright.train import restore_state

Make = Callable[..., Any]
HARD: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "model": MLPArgs(hidden_sizes=[6], dropout=0.3, batch_norm=True),
    "optimizer": AdamArgs(learning_rate=0.01, weight_decay=0.01),
    "scheduler": CosineArgs(),
    "accumulate_batches": 3,
    "ema_decay": 0.9,
    "ema_warmup_steps": 4,
    "white_noise_sd": 0.1,
    "early_stopping_patience": 3,
    "gradient_clipping": 1.0,
    "metrics": {"binary_classification": ["f1", "roc_auc"]},
}
"""Everything that has a state at once."""


class StopAt(Hook[Any]):
    """Sends a signal at the n-th batch of the whole run, whatever pass it is in."""

    def __init__(self, batch: int, number: int = signal.SIGTERM) -> None:
        self.left = batch
        self.number = number

    def on_batch_end(self, loop: Any) -> None:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(self.number)


def stop_at(experiment: Any, batch: int, number: int = signal.SIGTERM, **options: Any) -> Path:
    """The directory of a run that is stopped at a batch."""
    experiment.build_hooks = lambda: [StopAt(batch, number)]
    with pytest.raises((Terminated, KeyboardInterrupt)):
        experiment.run(RunOptions(predictions="none", **options))
    return experiment.run_directory.path


def resume(experiment: Any, run: Path, **options: Any) -> Any:
    return experiment.run(RunOptions(resume=str(run), predictions="none", **options))


def last_state(run: Path) -> dict[str, Any]:
    path = CheckpointStore(run / "checkpoints").path_of("last")
    assert path is not None
    state = restore_state(path)
    state["run"]["position"].pop("train_seconds")
    return state


def assert_same(left: Any, right: Any, where: str = "state") -> None:
    """Equal, bit for bit."""
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype and left.shape == right.shape, where
        assert left.contiguous().flatten().view(torch.uint8).equal(right.contiguous().flatten().view(torch.uint8)), (
            where
        )
    elif isinstance(left, dict):
        assert left.keys() == right.keys(), where
        for key in left:
            assert_same(left[key], right[key], f"{where}.{key}")
    elif isinstance(left, list | tuple):
        assert len(left) == len(right), where
        for place, pair in enumerate(zip(left, right, strict=True)):
            assert_same(*pair, f"{where}[{place}]")
    else:
        assert left == right or (left != left and right != right), where


def assert_same_run(resumed: Path, whole: Path) -> None:
    assert_same(last_state(resumed), last_state(whole))
    assert (resumed / "history.jsonl").read_bytes() == (whole / "history.jsonl").read_bytes()
    assert (resumed / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert not list(resumed.rglob("*.tmp"))
    index = CheckpointStore(resumed / "checkpoints").read_index()
    assert {file.name for file in (resumed / "checkpoints").iterdir()} == {
        "index.json",
        *(entry["file"] for entry in index.values()),
    }


@pytest.fixture
def whole(make: Make) -> Path:
    """The run that nobody disturbed."""
    return make(**HARD).run(RunOptions(predictions="none")).run_dir


@pytest.mark.slow
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.integers(1, 14), min_size=1, max_size=3))
def test_run_stopped_at_any_batches_ends_like_the_one_that_was_not(make: Make, whole: Path, batches: list[int]) -> None:
    run = stop_at(make(**HARD), batches[0])
    for batch in batches[1:]:
        again = make(**HARD)
        again.build_hooks = lambda batch=batch: [StopAt(batch)]
        with suppress(Terminated):  # it may have ended before that batch
            resume(again, run)
    resume(make(**HARD), run)
    assert_same_run(run, whole)


@pytest.mark.parametrize("batch", range(1, 12))
def test_no_step_is_lost_by_a_signal(make: Make, batch: int) -> None:
    steps: list[int] = []

    class Counting(Hook[Any]):
        def on_batch_end(self, loop: Any) -> None:
            if loop.is_training:
                steps.append(loop.position.step)

    experiment = make(**HARD)
    experiment.build_hooks = lambda: [Counting(), StopAt(batch)]
    with pytest.raises(Terminated):
        experiment.run(RunOptions(predictions="none"))
    assert last_state(experiment.run_directory.path)["run"]["position"]["step"] == experiment.position.step
    assert experiment.position.step >= max(steps)


def test_second_signal_ends_on_the_spot(make: Make) -> None:
    class Waiting(Hook[Any]):
        def on_batch_end(self, loop: Any) -> None:
            loop.recorder.checkpoints.writer.wait()  # or what is being written would be given up

    experiment = make(**HARD)
    experiment.build_hooks = lambda: [StopAt(4, signal.SIGTERM), StopAt(4, signal.SIGINT), Waiting()]
    with pytest.raises((Terminated, KeyboardInterrupt)):
        experiment.run(RunOptions(predictions="none", checkpoint_every_n_steps=1))
    run = experiment.run_directory.path
    assert last_state(run)["run"]["position"]["step"] == 1
    resume(make(**HARD), run)
    assert open_run(run).record()["status"] == "finished"


def test_checkpoints_come_every_n_steps(make: Make) -> None:
    saved: list[int] = []

    class Watching(Hook[Any]):
        def on_batch_start(self, loop: Any) -> None:
            path = loop.recorder.checkpoints.path_of("last") if loop.is_training else None
            if path is not None:
                saved.append(int(path.stem.split("_")[1]))

    experiment = make(epochs=1, batch_size=6)
    experiment.build_hooks = lambda: [Watching()]
    experiment.run(RunOptions(predictions="none", checkpoint_every_n_steps=3))
    assert sorted(set(saved)) == [3, 6, 9]


def test_checkpoints_come_every_few_seconds(make: Make) -> None:
    experiment = make(epochs=1, batch_size=6)
    kept: list[int] = []

    class Watching(Hook[Any]):
        def on_batch_start(self, loop: Any) -> None:
            if loop.is_training and loop.recorder.checkpoints.path_of("last") is not None:
                kept.append(loop.position.step)

    experiment.build_hooks = lambda: [Watching()]
    experiment.run(RunOptions(predictions="none", checkpoint_every_seconds=1e-9))
    assert kept == list(range(1, 10))


def test_finished_run_resumed_changes_nothing(make: Make, whole: Path) -> None:
    before = {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()}
    result = resume(make(**HARD), whole)
    assert result.run_dir == whole and result.epochs == 3
    assert {path: path.read_bytes() for path in whole.rglob("*") if path.is_file()} == before


def test_finished_run_continues_with_more_epochs(make: Make) -> None:
    short = make(epochs=2, batch_size=8).run(RunOptions(predictions="none")).run_dir
    result = resume(make(epochs=4, batch_size=8), short)
    long = make(epochs=4, batch_size=8).run(RunOptions(predictions="none")).run_dir
    assert result.epochs == 4
    assert_same_run(short, long)
    assert RunDirectory(short).args()["epochs"] == 4
    assert RunDirectory(short).record()["resumes"][0]["changed"] == {"epochs": [2, 4]}


def test_fewer_epochs_than_done_are_refused(make: Make) -> None:
    run = make(epochs=3).run(RunOptions(predictions="none")).run_dir
    with pytest.raises(UserError, match="--epochs=2: 3 epochs have begun already"):
        resume(make(epochs=2), run)


def test_changed_seed_and_model_are_refused_in_words(make: Make) -> None:
    run = stop_at(make(), 3)
    with pytest.raises(UserError, match="seed: 0 -> 1, model.hidden_sizes: .* cannot change within a run"):
        resume(make(seed=1, model=MLPArgs(hidden_sizes=[9])), run)
    assert RunDirectory(run).record()["status"] == "interrupted"


def test_changed_batch_size_makes_a_child_of_the_run(make: Make) -> None:
    run = stop_at(make(), 3)
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    child = resume(make(batch_size=10), run)
    assert child.run_dir != run
    parent = open_run(child.run_dir).record()["parent"]
    assert parent["run"] == run.name and parent["changed"] == ["batch_size: 32 -> 10"]
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_run_killed_before_its_first_checkpoint_begins_anew(make: Make, whole: Path) -> None:
    class Killed(BaseException):
        pass

    class KillAt(Hook[Any]):
        def on_batch_end(self, loop: Any) -> None:
            raise Killed

    experiment = make(**HARD)
    experiment.build_hooks = lambda: [KillAt()]
    with pytest.raises(Killed):
        experiment.run(RunOptions(predictions="none"))
    resume(make(**HARD), experiment.run_directory.path)
    assert_same_run(experiment.run_directory.path, whole)


def test_run_resumed_on_another_machine_says_what_may_change_its_last_bits(make: Make) -> None:
    run = stop_at(make(), 3)
    path = RunDirectory(run).record_path
    record = json.loads(path.read_text())
    record["processor"], record["versions"]["torch"] = "Abacus 9", "1.0"
    path.write_text(json.dumps(record))
    stop_at(make(), 5, resume=str(run))
    elsewhere = make()
    resume(elsewhere, run)
    processor, torch_version = host()["cpu"], versions()["torch"]
    assert elsewhere.warnings == [
        f"torch is {torch_version}, and was 1.0 when the run began: results may differ in their last bits",
        f"the processor is {processor}, and was Abacus 9 when the run began: results may differ in their last bits",
    ]


def test_another_processor_is_no_news_to_a_run_on_a_gpu_or_one_that_does_not_know_its_own() -> None:
    on_another = {"processor": "Abacus 9"}
    assert len(differences_of_environment(on_another, "cpu (1 threads)")) == 1
    assert differences_of_environment(on_another, "cuda (Abacus 9 GT)") == []
    assert differences_of_environment({}, "cpu (1 threads)") == []


def test_steps_are_logged_once(make: Make) -> None:
    run = stop_at(make(epochs=2, batch_size=6), 13, log_every_n_steps=1)
    resume(make(epochs=2, batch_size=6), run, log_every_n_steps=1)
    steps = [json.loads(line)["step"] for line in (run / "steps.jsonl").read_text().splitlines()]
    assert steps == list(range(1, 21))


def test_experiment_that_trains_in_its_own_way_resumes_from_its_last_epoch(make: Make, points: Any) -> None:
    class InOneGo(points):
        def run_dataset(self) -> None:
            if not self.is_training:
                return super().run_dataset()
            for batch in self.dataset:
                self.train_batch(self.prepare_batch(batch, training=True))
            self.dataset_metrics = {"loss": 0.5}

    def stopped_in_second_epoch() -> Any:
        experiment = make(InOneGo, epochs=3)
        experiment.on_epoch_start = lambda: experiment.epoch == 2 and signal.raise_signal(signal.SIGTERM)
        return experiment

    whole = make(InOneGo, epochs=3).run(RunOptions(predictions="none")).run_dir
    experiment = stopped_in_second_epoch()
    with pytest.raises(Terminated):
        experiment.run(RunOptions(predictions="none"))
    resume(make(InOneGo, epochs=3), experiment.run_directory.path)
    assert_same_run(experiment.run_directory.path, whole)
