from collections.abc import Callable
from pathlib import Path

from labwright.runs.listing.notes import Notes, read_notes, write_notes
from tests.conftest import Ended
from tests.written_runs import write_run


def test_note_is_written_shown_and_removed(command_line: Callable[..., Ended], tmp_path: Path) -> None:
    run = write_run(tmp_path / "results", "aaaa")
    write_notes(run, Notes(tags=("kept",)))
    name = run.path.name
    assert command_line("note", "aaaa", "try", "a lower rate").out == f"{name}: try a lower rate\n"
    assert command_line("note", "aaaa").out == f"{name}: try a lower rate\n"
    assert read_notes(run) == Notes(tags=("kept",), note="try a lower rate")
    assert command_line("note", "aaaa", "").out == f"{name}: no note\n"
    assert read_notes(run) == Notes(tags=("kept",))
