import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.runs.listing.notes import Notes, write_notes
from labwright.runs.lock import RunLock
from labwright.runs.record import RunRecord
from tests.conftest import Ended
from tests.written_runs import write_run

RunCommand = Callable[..., Ended]


def facts(out: str) -> dict[str, str]:
    """The lines of facts at the top."""
    top = out.partition("\n\n")[0].splitlines()[1:]
    return {name.strip(): text for name, _, text in (line.strip().partition("  ") for line in top)}


def rows(out: str, title: str) -> list[list[str]]:
    """The table below a title."""
    return [line.split() for line in out.partition(f"\n{title}\n")[2].partition("\n\n")[0].splitlines()]


def test_show_tells_everything_of_a_run(command_line: RunCommand, tmp_path: Path) -> None:
    run = write_run(
        tmp_path / "results",
        "aaaa",
        sources={"seed": "--seed=0", "model.hidden_sizes": "preset.yaml: hidden_sizes"},
        options={"run_name": "first", "tags": ["base"]},
        dataset={"name": "some digits", "fingerprint": "f" * 64},
        git={"commit": "ab" * 20, "branch": "main", "dirty": True, "snapshot": "cd" * 20},
        host={"hostname": "box"},
        device="cpu",
    )
    write_notes(run, Notes(note="to be repeated"))
    write_run(tmp_path / "results", "bbbb", parent={"run": run.path.name})
    out = command_line("show", "aaaa").out
    assert out.startswith(f"{run.path.name}: digits on some digits, finished\n")
    shown = {name: text.strip() for name, text in facts(out).items()}
    assert re.search(r"took \d+ s$", shown.pop("started"))
    assert shown == {
        "directory": str(run.path),
        "name": "first",
        "epochs": "3 of 3 (30 steps), best 2 by val/loss",
        "tags": "base",
        "note": "to be repeated",
        "children": "2026-01-31_12-00-00_bbbb",
        "code": "commit abababababab on main (kept as cdcdcdcdcdcd), with changes",
        "data": f"some digits {'f' * 40}",
        "computer": "box, cpu",
    }
    assert rows(out, "metrics")[1:] == [
        ["train/loss", "█▁▅", "0.4500", "0.3600", "0.2700", "(2)", "0.2700"],
        ["val/loss", "█▁▅", "0.5000", "0.4000", "0.3000", "(2)", "0.3000"],
        ["val/accuracy", "▁█▅", "0.5000", "0.6000", "0.7000", "(2)", "0.7000"],
        ["test/loss", "0.3500"],
        ["test/accuracy", "0.9000"],
    ]
    arguments = {row[0]: row[1:] for row in rows(out, "arguments")}
    assert arguments["seed"] == ["0", "--seed=0"]
    assert arguments["model.hidden_sizes"] == ["[64]", "preset.yaml:", "hidden_sizes"]
    assert arguments["epochs"] == ["3", "default"]
    assert [row[0] for row in rows(out, "files")[1:]] == ["args.yaml", "history.jsonl", "notes.json", "run.json"]


@pytest.mark.parametrize(
    ("status", "command"),
    [("failed", "python run.py resume 2026-01-31_12-00-00_aaaa"), ("running", None), ("finished", None)],
)
def test_run_that_can_go_on_says_how(
    command_line: RunCommand, tmp_path: Path, status: str, command: str | None
) -> None:
    run = write_run(tmp_path / "results", "aaaa", status=status)
    with RunLock.take(run.path):
        shown = facts(command_line("show", "last").out)
    assert shown.get("to go on", "").strip() == (command or "")
    assert ("problem" in shown) == (status == "failed")


def test_run_that_met_a_nan_goes_on_with_a_change(command_line: RunCommand, tmp_path: Path) -> None:
    run = write_run(tmp_path / "results", "aaaa", status="running")
    RunRecord(run.record_path, run.record()).finish("failed", error="NonFiniteLoss: the loss is nan at step 2")
    command = facts(command_line("show", "last").out)["to go on"].strip()
    assert command.endswith("_aaaa --gradient_clipping=1, or another change")


def test_killed_run_says_how_to_go_on_and_how_to_repeat(command_line: RunCommand, tmp_path: Path) -> None:
    run = write_run(tmp_path / "results with space", "aaaa", status="running")
    run.write_command(["python", "run.py"], cwd=tmp_path)
    out = command_line("show", "last", f"--results-dir={run.path.parents[1]}").out
    assert out.splitlines()[0].endswith(", killed")
    assert facts(out)["to go on"].strip() == "python run.py resume 2026-01-31_12-00-00_aaaa"
    assert facts(out)["to repeat"].strip() == f"sh '{run.command_path}'"


def test_show_json_is_for_scripts(command_line: RunCommand, tmp_path: Path) -> None:
    run = write_run(tmp_path / "results", "aaaa", device="cpu")
    shown = json.loads(command_line("show", "aaaa", "--json").out)
    assert (shown["id"], shown["status"], shown["children"]) == (run.path.name, "finished", [])
    assert shown["record"]["device"] == "cpu"
    assert shown["files"]["run.json"] == run.record_path.stat().st_size
    assert shown["args"]["seed"] == 0


@pytest.mark.parametrize("file", ["run.json", "args.yaml", "history.jsonl", "notes.json"])
def test_damaged_run_shows_what_is_wrong(command_line: RunCommand, tmp_path: Path, file: str) -> None:
    run = write_run(tmp_path / "results", "aaaa")
    (run.path / file).write_text("[\n")
    ended = command_line("show", "aaaa")
    assert ended.code == 0
    assert ended.out.splitlines()[0].endswith("damaged")
    assert file in facts(ended.out)["problem"]


def test_unknown_run_is_one_line(command_line: RunCommand, tmp_path: Path) -> None:
    write_run(tmp_path / "results", "aaaa")
    assert command_line("show", "ff99").error.startswith('no run "ff99" in ')
