from collections.abc import Callable
from pathlib import Path

from labwright.runs.listing.notes import Notes, read_notes, write_notes
from tests.conftest import Ended
from tests.written_runs import write_run

RunCommand = Callable[..., Ended]


def listed(command_line: RunCommand) -> list[str]:
    return [line[-4:] for line in command_line("runs", "--columns=id").out.splitlines()[1:]]


def test_archived_run_is_out_of_sight_until_it_is_brought_back(command_line: RunCommand, tmp_path: Path) -> None:
    runs = [write_run(tmp_path / "results", name) for name in ("aaaa", "bbbb", "cccc")]
    write_notes(runs[0], Notes(note="kept"))
    assert command_line("archive", "aaaa", "cccc").out == "".join(
        f"2026-01-31_12-00-00_{name}: archived\n" for name in ("aaaa", "cccc")
    )
    assert listed(command_line) == ["bbbb"]
    assert read_notes(runs[0]) == Notes(note="kept", archived=True)
    assert command_line("archive", "--undo", "aaaa").out == "2026-01-31_12-00-00_aaaa: back in the list\n"
    assert listed(command_line) == ["bbbb", "aaaa"]
    assert read_notes(runs[0]) == Notes(note="kept")


def test_filter_archives_all_it_fits(command_line: RunCommand, tmp_path: Path) -> None:
    for number, name in enumerate(("aaaa", "bbbb", "cccc")):
        write_run(tmp_path / "results", name, args={"seed": number})
    command_line("archive", "seed>=1")
    assert listed(command_line) == ["aaaa"]
    command_line("archive", "archived", "--undo")
    assert command_line("archive", "archived and seed==2", "--undo").code == 0
    assert listed(command_line) == ["cccc", "aaaa"]
