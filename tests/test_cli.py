"""The command line from a good argv to its exit code."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labwright.train.distributed.world import RankLost

ROOT = Path(__file__).parents[1]
RUN_PY = ROOT / "run.py"
DIGITS = ("--experiment_id=digits", "--epochs=2", "--limit_train_samples=64", "--use_cuda=false")

pytestmark = pytest.mark.usefixtures("no_pictures")


class TestEndings:
    def test_json_is_one_object_on_stdout(self, command_line: Callable[..., Any]) -> None:
        ended = command_line(*DIGITS, "--json")
        result = json.loads(ended.out)
        assert ended.out.count("\n") == 1
        assert 0 <= result["test"]["accuracy"] <= 1
        assert Path(result["run_dir"]) == ended.run
        assert "epoch 1/2" in ended.err

    def test_json_of_an_undefined_metric_is_still_json(
        self, command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("labwright.metrics.Accuracy.compute", lambda self: float("nan"))
        ended = command_line(*DIGITS, "--json")
        assert json.loads(ended.out, parse_constant=pytest.fail)["test"]["accuracy"] is None

    def test_quiet_says_nothing_when_all_is_well(self, command_line: Callable[..., Any], tmp_path: Path) -> None:
        command_line(*DIGITS, "--epochs=0")
        ended = command_line(*DIGITS, "--quiet")
        assert (ended.out, ended.err) == ("", "")
        assert ended.run

    def test_rank_lost_before_there_is_a_run_is_one_line(
        self, command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def lose(*args: Any) -> None:
            raise RankLost("rank 1 of 2 is gone: it was killed or crashed")

        monkeypatch.setattr("labwright.session.run.prepare", lose)
        ended = command_line(*DIGITS)
        assert ended.code == 1
        assert ended.err.splitlines()[-1] == "rank 0: rank 1 of 2 is gone: it was killed or crashed"
        assert "Traceback" not in ended.err

    def test_quiet_json_is_the_object_alone(self, command_line: Callable[..., Any]) -> None:
        command_line(*DIGITS, "--epochs=0")
        ended = command_line(*DIGITS, "--quiet", "--json")
        assert json.loads(ended.out)["test"] == ended.test and ended.err == ""

    def test_summary_ends_on_stdout_and_progress_on_stderr(self, command_line: Callable[..., Any]) -> None:
        ended = command_line(*DIGITS)
        for part in ("digits on scikit-learn digits", "test accuracy", "best epoch", "samples/s", str(ended.run)):
            assert part in ended.out
        assert "epoch 2/2" in ended.err and "epoch 2/2" not in ended.out
        assert "\r" not in ended.err + ended.out and "\x1b" not in ended.err + ended.out

    @pytest.mark.slow
    def test_command_sh_of_a_json_run_repeats_it_with_its_options(self, command_line: Callable[..., Any]) -> None:
        ended = command_line(*DIGITS, "--json", "--quiet", "--run-name", "a b", "--tags=x", "--no-use_tensorboard")
        run = ended.run
        words = (run / "command.sh").read_text().splitlines()[-1]
        assert "--config=" in words and "'--run_name=a b'" in words
        again = subprocess.run([run / "command.sh"], cwd="/", capture_output=True, text=True, check=True)
        result = json.loads(again.stdout)
        first, second = (json.loads((path / "run.json").read_text()) for path in (run, Path(result["run_dir"])))
        assert result["test"] == first["result"]["test"]
        assert second["options"] == {**first["options"], "config": [str(run / "args.yaml")]}

    def test_ctrl_c_exits_130_and_keeps_the_run(
        self, command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def interrupted(self: Any) -> None:
            if self.epoch == 2:
                raise KeyboardInterrupt

        monkeypatch.setattr("labwright.Experiment.on_epoch_start", interrupted)
        ended = command_line(*DIGITS)
        assert ended.code == 130 and ended.record["status"] == "interrupted"
        assert "interrupted: KeyboardInterrupt; kept in" in ended.err and "Traceback" not in ended.err

    def test_loss_that_is_no_number_exits_1_with_one_line(self, command_line: Callable[..., Any]) -> None:
        ended = command_line(*DIGITS, "--optimizer=sgd", "--learning_rate=1e30")
        assert ended.code == 1 and ended.record["status"] == "failed"
        [line] = [line for line in ended.err.splitlines() if "NonFiniteLoss" in line]
        assert line.startswith("failed: ") and "smaller learning rate" in line
        assert "to go on: start a new run with a change" in ended.err  # there is no checkpoint yet
        assert "Traceback" not in ended.err and ended.out == ""

    def test_bad_input_found_late_exits_1(
        self, command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from labwright.args import UserError

        def late(self: Any) -> None:
            raise UserError("the label server does not know you")

        monkeypatch.setattr("labwright.Experiment.on_experiment_start", late)
        ended = command_line(*DIGITS)
        assert ended.code == 1 and ended.record["status"] == "failed"
        assert "the label server does not know you" in ended.err and "Traceback" not in ended.err

    def test_sigterm_handler_is_put_back(self, command_line: Callable[..., Any]) -> None:
        before = signal.getsignal(signal.SIGTERM)
        command_line(*DIGITS)
        assert signal.getsignal(signal.SIGTERM) is before

    @pytest.mark.slow
    @pytest.mark.parametrize(("name", "code"), [("SIGTERM", 143), ("SIGHUP", 129)])
    def test_signal_to_end_keeps_the_run(self, tmp_path: Path, name: str, code: int) -> None:
        """A closed terminal (SIGHUP) left run.json saying "running" forever."""
        process = subprocess.Popen(
            [sys.executable, RUN_PY, *DIGITS, "--epochs=1000000"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: signal.signal(signal.Signals[name], signal.SIG_DFL),  # nohup may run the tests
        )
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("epoch "):
                break
        process.send_signal(signal.Signals[name])
        rest = process.communicate(timeout=600)[1]
        [run] = tmp_path.glob("results/digits/*")
        assert process.returncode == code, rest
        assert "Traceback" not in rest and f"interrupted: Terminated: {name}" in rest
        assert json.loads((run / "run.json").read_text())["status"] == "interrupted"
        assert (run / "history.png").is_file() and (run / "checkpoints" / "index.json").is_file()

    @pytest.mark.slow
    def test_error_of_the_program_exits_1_with_a_traceback(self, tmp_path: Path) -> None:
        (tmp_path / "own.py").write_text(
            textwrap.dedent(
                """
                from lab.experiments.digits import DigitsArgs
                from labwright import Experiment, main

                class Broken(Experiment[DigitsArgs]):
                    def on_epoch_start(self):
                        if self.epoch == 2:
                            raise RuntimeError("broken by hand")

                class BrokenArgs(DigitsArgs):
                    def build(self, machine):
                        return Broken(self, machine)

                if __name__ == "__main__":
                    main(BrokenArgs)
                """
            )
        )
        command = [sys.executable, "own.py", "--epochs=3", "--limit_train_samples=50"]
        ended = subprocess.run(command, cwd=tmp_path, env=with_source(), capture_output=True, text=True)
        [run] = tmp_path.glob("results/broken/*")
        assert ended.returncode == 1 and "Traceback" in ended.stderr and "broken by hand" in ended.stderr
        assert json.loads((run / "run.json").read_text())["status"] == "failed"
        rows = [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]
        assert {row["epoch"] for row in rows} == {1} and (run / "history.png").is_file()


def with_source() -> dict[str, str]:
    """This environment, with the source tree importable."""
    return {**os.environ, "PYTHONPATH": str(ROOT / "src")}


@pytest.mark.slow
def test_terminal_shows_a_bar_and_lines_that_stay(tmp_path: Path) -> None:
    master, slave = pty.openpty()
    termios.tcsetwinsize(slave, (24, 100))
    slow = ("--epochs=3", "--batch_size=1", "--limit_train_samples=600", "--hidden_sizes=[1500,1500]")
    command = [sys.executable, RUN_PY, *DIGITS, *slow]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=slave, stdout=subprocess.PIPE)
    os.close(slave)
    shown = b""
    while process.poll() is None or select.select([master], [], [], 0)[0]:
        if select.select([master], [], [], 0.1)[0]:
            try:
                shown += os.read(master, 65536)
            except OSError:  # the other end is closed
                break
    os.close(master)
    stdout = process.communicate(timeout=600)[0]
    assert process.returncode == 0, shown.decode()
    text = shown.decode()
    assert "\r" in text.replace("\r\n", "\n") and "epoch 1/3 train:" in text and "loss " in text and "val/loss " in text
    frames = [line.rpartition("\r")[2] for line in text.replace("\r\n", "\n").split("\n")]
    assert [frame.split("  ")[0] for frame in frames if frame.startswith("epoch ")] == [
        "epoch 1/3",
        "epoch 2/3",
        "epoch 3/3",
    ]
    assert b"\x1b" not in stdout and b"\r" not in stdout
    [log] = tmp_path.glob("results/digits/*/log.txt")
    assert "\r" not in log.read_text() and "|" not in log.read_text()
