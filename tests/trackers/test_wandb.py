"""Real W&B runs, offline, read back with W&B's own `wandb leet inspect`."""

import json
import os
import pty
import socket
import struct
import subprocess
import sys
import threading
import zlib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from labwright.args import UserError
from labwright.trackers import GuardedTrackers, RunInfo, Status, WandbTracker

KEY = "planted" + "5ec2e7" * 7
CONFIG = {"epochs": 2, "seed": None, "model": {"kind": "mlp", "hidden_sizes": [64, 32]}}


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty home directory, still empty after the test, and no W&B settings of the machine."""
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_ERROR_REPORTING", "false")
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    yield home
    assert list(home.rglob("*")) == []


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    (run_dir / "history.png").write_bytes(one_white_pixel())
    return run_dir


def one_white_pixel() -> bytes:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\x00\xff")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def track(tracker: WandbTracker, run_dir: Path, status: Status = "finished") -> list[str]:
    """One small run through the guard, and the warnings it gave."""
    warnings = list[str]()
    guarded = GuardedTrackers([tracker], warnings.append, secrets=[KEY])
    guarded.start(RunInfo(experiment_id="digits", run_dir=run_dir, run_name="wide", tags=("a", "b"), config=CONFIG))
    for epoch in (1, 2):
        guarded.log_step(epoch * 10, {"loss": 1 / epoch, "learning_rate": 1e-3})
        guarded.log_epoch(epoch, epoch * 10, {"train/loss": 0.5, "val/loss": 0.6 / epoch, "val/accuracy": 0.9})
    guarded.finish(status, {"best": {"epoch": 2}, "test": {"loss": 0.25}}, [run_dir / "history.png"])
    return warnings


def records(run_dir: Path, directory: str = "offline-run-*") -> dict[str, list[Any]]:
    """What was recorded on disk, by type of record."""
    (log,) = run_dir.glob(f"wandb/{directory}/*.wandb")
    return records_in(log)


def records_in(log: Path) -> dict[str, list[Any]]:
    inspect = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(log)]
    done = subprocess.run(inspect, capture_output=True, text=True, check=True, timeout=600)
    by_type: dict[str, list[Any]] = {}
    for line in done.stdout.splitlines():
        record = json.loads(line)
        by_type.setdefault(record["type"], []).append(record.get(record["type"]))
    return by_type


@pytest.mark.slow
def test_an_offline_run_holds_name_tags_config_metrics_summary_and_plot(run_dir: Path) -> None:
    assert track(WandbTracker(project="lab", entity="me", mode="offline"), run_dir) == []
    read = records(run_dir)

    (run,) = read["run"]
    assert (run["project"], run["entity"], run["display_name"]) == ("lab", "me", "wide")
    assert (run["run_group"], run["tags"]) == ("digits", ["a", "b"])
    assert {name: run["config"]["update"][name] for name in CONFIG} == CONFIG

    axes = {metric.get("glob_name") or metric["name"]: metric.get("step_metric") for metric in read["metric"]}
    assert axes == {"epoch": None, "step": None, "step/*": "step", "train/*": "epoch", "val/*": "epoch"}

    rows = [{key: row["item"][key] for key in row["item"] if not key.startswith("_")} for row in read["history"]]
    assert rows[:-1] == [
        {"step": 10, "step/loss": 1, "step/learning_rate": 1e-3},
        {"epoch": 1, "step": 10, "train/loss": 0.5, "val/loss": 0.6, "val/accuracy": 0.9},
        {"step": 20, "step/loss": 0.5, "step/learning_rate": 1e-3},
        {"epoch": 2, "step": 20, "train/loss": 0.5, "val/loss": 0.3, "val/accuracy": 0.9},
    ]
    assert rows[-1]["plots/history.format"] == "png"

    summary = {name: value for update in read["summary"] for name, value in update["update"].items()}
    assert (summary["best/epoch"], summary["test/loss"], summary["val/loss"]) == (2, 0.25, 0.3)

    (artifact,) = read["artifact"]
    assert (artifact["type"], artifact["manifest"]["contents"][0]["path"]) == ("plot", "history.png")
    assert read["exit"][0]["exit_code"] == 0


def test_the_key_reaches_no_file_and_not_the_terminal(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The key of the template's users had leaked into config.json and into W&B."""
    monkeypatch.setenv("WANDB_API_KEY", KEY)
    monkeypatch.setattr(sys, "argv", ["run.py", f"--wandb_api_key={KEY}"])
    assert track(WandbTracker(project="lab", api_key=KEY, mode="offline"), run_dir) == []
    files = [path for path in run_dir.rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in files)
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []
    assert tuple(capfd.readouterr()) == ("", "")


def test_nothing_is_recorded_where_wandb_is_disabled(run_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "disabled")
    assert track(WandbTracker(project="lab"), run_dir) == []
    assert list(run_dir.glob("wandb/*run-*")) == []


def test_an_unknown_mode_is_refused_with_the_modes_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_MODE", "ofline")
    with pytest.raises(UserError, match="WANDB_MODE: 'ofline' is not a mode of W&B; choose from online, offline"):
        WandbTracker()


def test_without_a_key_the_run_is_recorded_offline_and_one_line_says_so(run_dir: Path) -> None:
    (warning,) = offline_warning(run_dir)
    assert "No API key configured" in warning
    assert records(run_dir)["exit"][0]["exit_code"] == 0


def test_a_malformed_key_is_not_repeated_and_the_run_is_recorded_offline(run_dir: Path) -> None:
    (warning,) = offline_warning(run_dir, api_key="5ec2e7")
    assert "5ec2e7" not in warning
    assert len(records(run_dir)["history"]) == 5


def offline_warning(run_dir: Path, **options: Any) -> list[str]:
    warnings = list[str]()
    assert track(WandbTracker(warn=warnings.append, **options), run_dir) == []
    assert all(str(run_dir) in warning and len(warning.splitlines()) == 1 for warning in warnings)
    return warnings


@pytest.mark.slow
def test_a_server_that_never_answers_costs_the_time_limit_and_no_data(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent_server:
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{silent_server.getsockname()[1]}")
        (warning,) = offline_warning(run_dir, api_key=KEY, init_timeout_seconds=1)
    assert "Timed out" in warning or "giving up" in warning
    assert len(records(run_dir)["history"]) == 5


@pytest.mark.slow
def test_a_server_that_stops_answering_delays_the_end_by_the_time_limit_and_costs_no_data(
    run_dir: Path,
    flaky_server: "FlakyServer",
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{flaky_server.server_port}")
    monkeypatch.setattr("wandb.apis.public.Api._HTTP_TIMEOUT", 1)  # it reads its setting when it is imported
    warnings = list[str]()
    assert track(WandbTracker(api_key=KEY, warn=warnings.append, finish_timeout_seconds=1), run_dir) == []
    (warning,) = warnings
    assert warning.startswith("W&B did not take everything (TimeoutError: ")
    assert f"upload later with: wandb sync --include-online {run_dir}" in warning  # else it passes over them
    assert len(records(run_dir, "run-*")["history"]) == 5
    assert tuple(capfd.readouterr()) == ("", "")
    assert not any(KEY.encode() in body for body in flaky_server.bodies)


def session(tracker: WandbTracker, run_dir: Path, epochs: range, earlier: dict[str, Any] | None = None) -> list[str]:
    """Some epochs of a run of ten steps each, resumed after step 10 if it was begun before; its warnings."""
    warnings = list[str]()
    guarded = GuardedTrackers([tracker], warnings.append, secrets=[KEY])
    step, epoch = (10, 1) if earlier else (None, None)
    guarded.start(
        RunInfo(
            experiment_id="digits", run_dir=run_dir, resumed=earlier and {"W&B": earlier}, resumed_step=step,
            resumed_epoch=epoch,
        )
    )  # fmt: skip
    for epoch in epochs:
        guarded.log_step(epoch * 10, {"loss": 1 / epoch})
        guarded.log_epoch(epoch, epoch * 10, {"val/loss": 1 / epoch})
    return warnings


def logged(log: Path) -> list[tuple[str, float]]:
    """What the history of a W&B file holds: steps and epochs in order."""
    rows = [row["item"] for row in records_in(log).get("history", [])]
    return [("epoch", row["epoch"]) if "epoch" in row else ("step", row["step"]) for row in rows if "step" in row]


@pytest.mark.slow
def test_a_resumed_offline_run_is_one_run_in_two_folders_and_nothing_is_logged_twice(run_dir: Path) -> None:
    first = WandbTracker(project="lab", mode="offline")
    session(first, run_dir, range(1, 3))
    state = first.state()
    first.finish("interrupted", {}, [])
    assert state == {"id": first.run.id, "project": "lab", "entity": None}

    again = WandbTracker(project="renamed since", mode="offline")
    assert session(again, run_dir, range(2, 4), earlier=state) == []
    again.log_epoch(2, 20, {"test/loss": 0.5})  # the best epoch is an earlier one, the metric is new
    again.log_epoch(2, 20, {"test/loss": 0.5})
    again.finish("finished", {}, [])
    assert again.state() == state
    old, new = sorted(run_dir.glob(f"wandb/offline-run-*-{first.run.id}*/*.wandb"))
    assert logged(old) == [("step", 10), ("epoch", 1), ("step", 20), ("epoch", 2)]
    assert logged(new) == [("step", 30), ("epoch", 3), ("epoch", 2), ("epoch", 2)]
    upload = again._how_to_upload()
    assert upload == f"upload later with: wandb sync {old.parent} {new.parent}"


def test_a_run_whose_record_is_gone_is_logged_again_from_its_checkpoint(run_dir: Path) -> None:
    state = {"id": "abcd1234", "project": "lab", "entity": None}
    tracker = WandbTracker(mode="offline")
    assert session(tracker, run_dir, range(2, 4), earlier=state) == []
    tracker.finish("finished", {}, [])
    (log,) = run_dir.glob("wandb/offline-run-*-abcd1234/*.wandb")
    assert logged(log) == [("step", 20), ("epoch", 2), ("step", 30), ("epoch", 3)]


class FlakyServer(ThreadingHTTPServer):
    """Accepts a new run, then answers nothing until it is gone."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FlakyAnswers)
        self.gone = threading.Event()
        self.bodies = list[bytes]()


class FlakyAnswers(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        assert isinstance(self.server, FlakyServer)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.bodies.append(body)
        if b"UpsertBucket" not in body:
            self.server.gone.wait()
            return
        project = {"id": "cHJq", "name": "lab", "entity": {"id": "ZW50", "name": "me"}}
        bucket = {"id": "aWQ=", "name": json.loads(body)["variables"]["name"], "config": "{}", "project": project}
        answer = json.dumps({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr: requests are kept in `bodies`."""


class KeepingServer(ThreadingHTTPServer):
    """Has a run that it was told of up to step 20, or had one that its user has deleted."""

    def __init__(self, *, deleted: bool) -> None:
        super().__init__(("127.0.0.1", 0), KeepingAnswers)
        self.deleted = deleted
        self.history = list[dict[str, Any]]()


class KeepingAnswers(FlakyAnswers):
    def do_POST(self) -> None:
        assert isinstance(self.server, KeepingServer)
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        lines = content.get("files", {}).get("wandb-history.jsonl", {}).get("content", [])
        self.server.history += map(json.loads, lines)
        answer = json.dumps(self.answer(content)).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def answer(self, content: dict[str, Any]) -> dict[str, Any]:
        assert isinstance(self.server, KeepingServer)
        query, variables = content.get("query", ""), content.get("variables", {})
        project = {"id": "cHJq", "name": "lab", "entity": {"id": "ZW50", "name": "me"}}
        if "RunResumeStatus" in query:
            summary = {"step": 20, "epoch": 2, "val/loss": 0.5, "step/loss": 0.5, "_step": 3}
            bucket = {
                "id": "aWQ=", "name": variables["name"], "config": "{}", "wandbConfig": '{"t": 1}', "tags": [],
                "historyLineCount": 4, "eventsLineCount": 0, "logLineCount": 0, "eventsTail": "[]",
                "historyTail": json.dumps([json.dumps(summary)]), "summaryMetrics": json.dumps(summary),
            }  # fmt: skip
            return {"data": {"model": None if self.server.deleted else {**project, "bucket": bucket}}}
        if "UpsertBucket" in query and self.server.deleted and variables["name"] == "abcd1234":
            message = "run me/lab/abcd1234 was previously created and deleted; try a new run name"
            return {"data": {"upsertBucket": None}, "errors": [{"message": message, "path": ["upsertBucket"]}]}
        if "UpsertBucket" in query:
            bucket = {"id": "aWQ=", "name": variables["name"], "config": "{}", "project": project}
            return {"data": {"upsertBucket": {"bucket": bucket, "inserted": False}}}
        if "CreateRunFiles" in query:
            return {"data": {"createRunFiles": {"runID": "aWQ=", "uploadHeaders": [], "files": []}}}
        return {"data": {}} if query else {}


@pytest.fixture
def keeping_server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[KeepingServer]:
    with KeepingServer(deleted=request.param == "deleted") as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        monkeypatch.setenv("WANDB_BASE_URL", f"http://127.0.0.1:{server.server_port}")
        yield server
        server.shutdown()
        serving.join()


@pytest.mark.parametrize("keeping_server", ["kept"], indirect=True)
def test_a_resumed_online_run_sends_only_what_its_server_does_not_have(
    run_dir: Path, keeping_server: KeepingServer
) -> None:
    tracker = WandbTracker(project="renamed since", api_key=KEY)
    state = {"id": "abcd1234", "project": "lab", "entity": "me"}
    assert session(tracker, run_dir, range(2, 4), earlier=state) == []
    tracker.finish("finished", {}, [])
    assert tracker.state() == state
    assert [row["step"] for row in keeping_server.history] == [30, 30]
    assert [row["_step"] for row in keeping_server.history] == [4, 5]


@pytest.mark.parametrize("keeping_server", ["deleted"], indirect=True)
def test_a_resumed_run_that_was_deleted_online_begins_anew_with_a_warning(
    run_dir: Path, keeping_server: KeepingServer
) -> None:
    said = list[str]()
    tracker = WandbTracker(api_key=KEY, warn=said.append)
    session(tracker, run_dir, range(2, 4), earlier={"id": "abcd1234", "project": "lab", "entity": "me"})
    tracker.finish("finished", {}, [])
    (warning,) = said
    assert "previously created and deleted" in warning and warning.endswith("and begins a new one")
    assert tracker.state()["id"] != "abcd1234"
    assert [row["step"] for row in keeping_server.history] == [20, 20, 30, 30]


@pytest.fixture
def flaky_server() -> Iterator[FlakyServer]:
    with FlakyServer() as server:
        serving = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        serving.start()
        yield server
        server.gone.set()
        server.shutdown()
        serving.join()


@pytest.mark.slow
def test_a_failed_run_is_marked_failed_and_the_next_run_of_the_process_is_its_own(tmp_path: Path) -> None:
    for number, status in enumerate(("failed", "interrupted")):
        run_dir = tmp_path / f"run{number}"
        run_dir.mkdir()
        (run_dir / "history.png").write_bytes(one_white_pixel())
        assert track(WandbTracker(mode="offline"), run_dir, status) == []
    assert records(tmp_path / "run0")["exit"][0]["exit_code"] == 1
    assert records(tmp_path / "run1")["exit"][0]["exit_code"] == 130


@pytest.mark.slow
def test_on_a_terminal_nothing_is_asked_and_no_process_is_left(run_dir: Path) -> None:
    """`wandb.init` asks for a key where stdin and stderr are terminals, and then waits for ever."""
    story = """
import os, sys
from pathlib import Path
from labwright.trackers import RunInfo, WandbTracker
assert sys.stdin.isatty() and sys.stderr.isatty()
run_dir = Path(sys.argv[1])
tracker = WandbTracker()
tracker.start(RunInfo(experiment_id="digits", run_dir=run_dir))
tracker.log_epoch(1, 10, {"val/loss": 0.5})
tracker.finish("finished", {}, [])
try:
    os.waitpid(-1, os.WNOHANG)
except ChildProcessError:
    print("no child left")
"""
    terminal, its_end = pty.openpty()
    shown = list[bytes]()
    reader = threading.Thread(target=read_until_closed, args=(terminal, shown))
    reader.start()
    command = [sys.executable, "-W", "error", "-c", story, str(run_dir)]
    try:
        done = subprocess.run(command, stdin=its_end, stdout=subprocess.PIPE, stderr=its_end, text=True, timeout=600)
    finally:
        os.close(its_end)
        reader.join()
        os.close(terminal)
    assert done.stdout == "no child left\n"
    lines = b"".join(shown).decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("W&B records offline (UsageError: No API key configured")


def read_until_closed(terminal: int, shown: list[bytes]) -> None:
    """A terminal's output; reading one whose other end is closed is an error on Linux and an empty text on macOS."""
    try:
        while text := os.read(terminal, 1024):
            shown.append(text)
    except OSError:
        pass
