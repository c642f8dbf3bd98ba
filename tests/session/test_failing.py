"""What is kept when a run does not end well."""

import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import RunOptions, UserError
from labwright.runs.terminal import Terminal
from labwright.trackers import Tracker
from labwright.train import NonFiniteLoss


def record(folder: Path) -> dict[str, Any]:
    [path] = folder.glob("results/points/*/run.json")
    return {**json.loads(path.read_text()), "run_dir": path.parent}


def epochs_and_splits(run: Path) -> list[tuple[int, str]]:
    rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
    return [(row["epoch"], row["split"]) for row in rows]


@pytest.fixture
def stopped(make: Callable[..., Any], points: Any) -> Callable[[BaseException], Any]:
    """An experiment in whose second epoch something is raised."""

    def build(error: BaseException) -> Any:
        class Stopped(points):
            def on_epoch_start(self) -> None:
                if self.epoch == 2:
                    raise error

        return make(Stopped, epochs=3)

    return build


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(3), "interrupted"),
        (ZeroDivisionError("by hand"), "failed"),
        (UserError("the disk is full"), "failed"),
    ],
)
def test_what_stops_a_run_keeps_what_there_was(
    stopped: Callable[..., Any], tmp_path: Path, error: BaseException, status: str
) -> None:
    with pytest.raises(type(error)):
        stopped(error).run()
    kept = record(tmp_path)
    run = kept["run_dir"]
    assert kept["status"] == status and kept["ended_at"] is not None
    assert kept["error"].startswith(type(error).__name__)
    assert epochs_and_splits(run) == [(1, "train"), (1, "val")]
    assert (run / "history.png").stat().st_size > 1000
    index = json.loads((run / "checkpoints" / "index.json").read_text())
    assert index["last"]["epoch"] == 1 and (run / "checkpoints" / index["last"]["file"]).is_file()
    assert (f"{status}: " in (run / "log.txt").read_text()) and str(run) in (run / "log.txt").read_text()


def test_log_has_the_traceback_of_an_error_and_none_of_an_interrupt(
    stopped: Callable[..., Any], tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError):
        stopped(ZeroDivisionError("by hand")).run()
    log = record(tmp_path)["run_dir"] / "log.txt"
    assert "Traceback (most recent call last)" in log.read_text() and "on_epoch_start" in log.read_text()


def test_interrupt_before_the_first_epoch_leaves_a_record(
    make: Callable[..., Any], points: Any, tmp_path: Path
) -> None:
    class Impatient(points):
        def on_experiment_start(self) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make(Impatient).run()
    assert record(tmp_path)["status"] == "interrupted"


def test_interrupt_while_a_tracker_starts_leaves_a_record(
    make: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: Any, run: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labwright.trackers.TensorBoardTracker.start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        make().run(RunOptions(use_tensorboard=True))
    assert record(tmp_path)["status"] == "interrupted"


def test_nan_loss_stops_the_run_and_is_not_checkpointed(make: Callable[..., Any], points: Any, tmp_path: Path) -> None:
    class Exploding(points):
        def compute_loss(self, batch: Any) -> Any:
            loss = super().compute_loss(batch)
            return loss if self.epoch < 2 or not self.model.training else loss._replace(value=loss.value * torch.nan)

    shown = StringIO()
    with pytest.raises(NonFiniteLoss, match="epoch 2.*learning rate"):
        make(Exploding, epochs=3).run(terminal=Terminal(shown, quiet=True))
    advice, command = shown.getvalue().splitlines()[-2:]
    assert advice.endswith("resumed as it is the run would end like this again:")
    assert " resume " in command and command.endswith(" --gradient_clipping=1")
    kept = record(tmp_path)
    index = json.loads((kept["run_dir"] / "checkpoints" / "index.json").read_text())
    assert kept["status"] == "failed" and index["last"]["epoch"] == 1
    assert epochs_and_splits(kept["run_dir"]) == [(1, "train"), (1, "val")]


OUT_OF_MEMORY = "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to"


@pytest.mark.parametrize(
    "error", [torch.OutOfMemoryError("CUDA"), RuntimeError(OUT_OF_MEMORY), MemoryError()], ids=["cuda", "cpu", "python"]
)
def test_a_run_out_of_memory_is_told_how_to_go_on_with_half_of_it(stopped: Callable[..., Any], error: Any) -> None:
    shown = StringIO()
    with pytest.raises(type(error)):
        stopped(error).run(terminal=Terminal(shown, quiet=True))
    advice, command = shown.getvalue().splitlines()[-2:]
    assert advice.endswith("resumed as it is the run would end like this again:")
    assert " resume " in command and command.endswith(" --batch_size=16 --accumulate_batches=2")


def test_out_of_memory_is_no_traceback(command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("--experiment_id=digits", "--use_cuda=false", "--epochs=1", "--quiet")

    def refused(*arguments: Any) -> None:
        raise RuntimeError(OUT_OF_MEMORY)

    with monkeypatch.context() as patched:
        patched.setattr("labwright.experiment.Experiment.build_model", refused)
        ended = command_line(*words)
    assert ended.code == 2 and "the model does not fit into memory; make it smaller" in ended.err.splitlines()[-1]
    with monkeypatch.context() as patched:
        patched.setattr("labwright.experiment.Experiment.build_model", lambda self: bytearray(2**60))
        assert command_line(*words).err.splitlines()[-1].endswith("make it smaller (MemoryError)")
    monkeypatch.setattr("labwright.experiment.Experiment.train_batch", refused)
    ended = command_line(*words)
    assert ended.code == 1 and "Traceback" not in ended.err
    assert "--batch_size=16 --accumulate_batches=2" in ended.err.splitlines()[-1]


def test_failing_run_that_torchrun_starts_again_says_so(
    stopped: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever did what it said instead would have started a second process beside torchrun's."""
    monkeypatch.setenv("TORCHELASTIC_MAX_RESTARTS", "2")
    for count, last in (("1", "torchrun starts it again"), ("2", "to go on: ")):
        monkeypatch.setenv("TORCHELASTIC_RESTART_COUNT", count)
        shown = StringIO()
        with pytest.raises(ZeroDivisionError):
            stopped(ZeroDivisionError("by hand")).run(terminal=Terminal(shown, quiet=True))
        assert shown.getvalue().splitlines()[-1].startswith(last)


def test_failing_run_says_where_it_is_kept_even_when_quiet(stopped: Callable[..., Any], tmp_path: Path) -> None:
    shown = StringIO()
    with pytest.raises(ZeroDivisionError):
        stopped(ZeroDivisionError("by hand")).run(terminal=Terminal(shown, quiet=True))
    line, last = shown.getvalue().splitlines()
    assert line == f"failed: ZeroDivisionError: by hand; kept in {record(tmp_path)['run_dir']}"
    assert last.startswith("to go on: ") and last.endswith(f" resume {record(tmp_path)['run_dir']}")


def test_interrupt_while_trackers_finish_leaves_a_finished_record(make: Callable[..., Any], points: Any) -> None:
    class Slow(Tracker):
        def finish(self, status: Any, summary: Any, plots: Any) -> None:
            raise KeyboardInterrupt

    class Tracked(points):
        def build_trackers(self, options: Any, warn: Any) -> list[Tracker]:
            return [Slow()]

    experiment = make(Tracked)
    with pytest.raises(KeyboardInterrupt):
        experiment.run()
    [record] = experiment.machine.results_dir.glob("*/*/run.json")
    assert json.loads(record.read_bytes())["status"] == "finished"
