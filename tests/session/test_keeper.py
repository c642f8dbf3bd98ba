"""Checkpoints are written by a thread while training goes on, and are what they would be if it had waited."""

import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO, cast

import pytest

from labwright.args import RunOptions
from labwright.loop import Hook
from labwright.optimizers import AdamArgs
from labwright.runs import CheckpointStore, DiskError
from labwright.runs.checkpoints import store as store_module
from labwright.session import keeper as keeper_module
from labwright.session.keeper import Keeper
from labwright.session.signals import StopRequest
from labwright.train import flatten_state, restore_state
from labwright.train.host_memory import HostMemory

Make = Callable[..., Any]


class AtBatch(Hook[Any]):
    """Does something at the n-th batch of the run."""

    def __init__(self, number: int, act: Callable[[], Any]) -> None:
        self.left = number
        self.act = act

    def on_batch_end(self, loop: Any) -> None:
        self.left -= 1
        if not self.left:
            self.act()


def run(experiment: Any, **options: Any) -> Path:
    options = {"predictions": "none", "keep_checkpoints": 9, **options}
    return experiment.run(RunOptions(**options)).run_dir


def states(run_dir: Path) -> dict[int, bytes]:
    """Each checkpoint by its step, but for the time it took."""
    found: dict[int, bytes] = {}
    for entry in CheckpointStore(run_dir / "checkpoints").read_index().values():
        state = restore_state(run_dir / "checkpoints" / entry["file"])
        state["run"]["position"].pop("train_seconds")
        found[entry["step"]] = flatten_state(state)
    return found


def threads_of(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Whether it was the main thread that wrote, for each checkpoint from now on."""
    found, write = list[bool](), store_module.write_durably

    def noted(path: Path, data: Any) -> str:
        if path.name.startswith("step_"):
            found.append(threading.current_thread() is threading.main_thread())
        return write(path, data)

    monkeypatch.setattr(store_module, "write_durably", noted)
    return found


@pytest.mark.slow
def test_a_checkpoint_is_of_its_moment_though_training_goes_on_while_it_is_written(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"epochs": 3, "batch_size": 8, "optimizer": AdamArgs(), "ema_decay": 0.9}
    waiting = run(make(**fields), background_checkpoints=False)
    goes_on, write = threading.Event(), store_module.write_durably

    def slow(path: Path, data: Any) -> str:
        if path.name == "step_00000008.safetensors":
            assert goes_on.wait(600)
        return write(path, data)

    monkeypatch.setattr(store_module, "write_durably", slow)
    experiment = make(**fields)
    experiment.build_hooks = lambda: [AtBatch(8 + 3 + 5, goes_on.set)]  # the fifth of the second epoch
    going_on = run(experiment)
    assert goes_on.is_set()
    assert states(going_on) == states(waiting)
    for name in ("history.jsonl", "model.safetensors", "fingerprints.bin"):
        assert (going_on / name).read_bytes() == (waiting / name).read_bytes()


@pytest.mark.slow
@pytest.mark.parametrize("in_background", [True, False])
def test_who_writes_is_a_flag(make: Make, monkeypatch: pytest.MonkeyPatch, in_background: bool) -> None:
    by_main_thread = threads_of(monkeypatch)
    run(make(epochs=2), background_checkpoints=in_background, checkpoint_every_n_steps=1)
    assert set(by_main_thread) == {not in_background}


@pytest.mark.slow
def test_what_a_function_writes_is_written_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody knows what it reads while it writes."""
    by_main_thread, experiment = threads_of(monkeypatch), make(epochs=1)

    def encode(state: dict[str, Any]) -> Callable[[BinaryIO], None]:
        content = flatten_state(state)
        return lambda file: cast(None, file.write(content))

    experiment.encode_state = encode
    assert len(states(run(experiment))) == 1
    assert by_main_thread == [True]


def fail_to_write(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    write = store_module.write_durably

    def failing(path: Path, data: Any) -> str:
        if path.name == name:
            raise DiskError(path, OSError(28, "No space left on device"))
        return write(path, data)

    monkeypatch.setattr(store_module, "write_durably", failing)


@pytest.mark.slow
def test_a_failure_ends_the_run_soon_after(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_write(monkeypatch, "step_00000008.safetensors")
    experiment = make(epochs=500, batch_size=8)
    with pytest.raises(DiskError, match="step_00000008.*no space is left"):
        run(experiment, keep_checkpoints=1)
    assert experiment.position.step <= 16  # the epoch after, at the latest
    record = experiment.run_directory.record()
    assert record["status"] == "failed" and "no space is left" in record["error"]


@pytest.mark.slow
def test_a_failure_of_the_last_checkpoint_is_no_good_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fail_to_write(monkeypatch, "step_00000016.safetensors")
    experiment = make(epochs=2, batch_size=8)
    with pytest.raises(DiskError, match="step_00000016.*no space is left"):
        run(experiment)
    assert experiment.run_directory.record()["status"] == "failed"
    assert [*states(experiment.run_directory.path)] == [8]


@pytest.mark.slow
def test_a_failure_is_told_of_where_the_run_ends_for_another_reason(
    make: Make, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fail_to_write(monkeypatch, "step_00000008.safetensors")
    experiment = make(epochs=2, batch_size=8)

    def fail() -> None:
        raise ZeroDivisionError("mine")

    experiment.on_epoch_end = lambda: experiment.epoch == 1 or fail()
    experiment.between_batches = lambda: None
    with pytest.raises(ZeroDivisionError, match="mine"):
        run(experiment)
    assert "the last checkpoint failed: DiskError" in experiment.run_directory.log_path.read_text()


@pytest.mark.slow
def test_the_memory_is_got_ready_before_the_first_checkpoint(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "_WORTH_RESERVING", 1)
    events: list[str] = []
    reserve, copy = HostMemory.reserve, HostMemory.copy
    monkeypatch.setattr(HostMemory, "reserve", lambda *a, **k: (events.append("reserve"), reserve(*a, **k))[1])
    monkeypatch.setattr(HostMemory, "copy", lambda *a, **k: (events.append("copy"), copy(*a, **k))[1])
    run(make(epochs=2, accumulate_batches=3))
    assert events == ["reserve", "copy", "copy"]


class Clock:
    """A time that passes as it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.num_looks = 0

    def monotonic(self) -> float:
        self.num_looks += 1
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(keeper_module, "time", clock)
    return clock


def idle_keeper(tmp_path: Path, **options: Any) -> Keeper:
    """One that is only asked when a checkpoint is due."""
    experiment = SimpleNamespace(options=RunOptions(background_checkpoints=False, **options))
    return Keeper(cast(Any, experiment), CheckpointStore(tmp_path), StopRequest())


def test_each_nth_step_is_due(tmp_path: Path, clock: Clock) -> None:
    keeper = idle_keeper(tmp_path, checkpoint_every_n_steps=70, checkpoint_every_seconds=None)
    assert [step for step in range(1, 300) if keeper.is_due(step)] == [70, 140, 210, 280]


@pytest.mark.parametrize("seconds_per_step", [0.001, 0.3, 4.0, 200.0])
def test_a_step_is_due_once_the_time_has_come(tmp_path: Path, clock: Clock, seconds_per_step: float) -> None:
    keeper = idle_keeper(tmp_path, checkpoint_every_seconds=100.0)
    step, started = 0, clock.now
    while not keeper.is_due(step):
        step, clock.now = step + 1, clock.now + seconds_per_step
    assert 100.0 <= clock.now - started <= 100.0 + 1.5 * max(seconds_per_step, 64 * 0.001)


def test_the_clock_is_hardly_looked_at_where_steps_are_short(tmp_path: Path, clock: Clock) -> None:
    keeper = idle_keeper(tmp_path, checkpoint_every_seconds=100.0)
    for step in range(10_000):
        assert not keeper.is_due(step)
        clock.now += 0.001
    assert clock.num_looks < 250


def test_a_stop_is_due_at_once(tmp_path: Path, clock: Clock) -> None:
    keeper = idle_keeper(tmp_path)
    assert not keeper.is_due(1)
    keeper.stop.number = 15
    assert keeper.is_due(2)
