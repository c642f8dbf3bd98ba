import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labwright.args.errors import UserError
from labwright.runs.listing.notes import FILE_NAME, Notes, read_notes, write_notes
from tests.written_runs import write_run


def test_notes_are_read_as_they_were_written(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    assert read_notes(run) == Notes()
    notes = Notes(tags=("a", "ü b"), removed_tags=("c",), note='line "1"\nline 2', archived=True)
    write_notes(run, notes)
    assert read_notes(run) == notes
    assert json.loads((run.path / FILE_NAME).read_bytes())["tags"] == ["a", "ü b"]


def test_empty_notes_leave_no_file(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    write_notes(run, Notes(archived=True))
    write_notes(run, Notes())
    write_notes(run, Notes())
    assert not (run.path / FILE_NAME).exists()


def test_tag_given_at_the_start_can_be_removed_and_added_again() -> None:
    notes = Notes().with_tags(["new", "new"], remove=["start"])
    assert notes.all_tags(["start", "other"]) == ["other", "new"]
    assert notes.with_tags(["start"]).all_tags(["start", "other"]) == ["start", "other", "new"]


@given(st.lists(st.sampled_from("abcd")), st.lists(st.tuples(st.booleans(), st.sampled_from("abcd"))))
def test_tags_are_those_that_were_added_or_not_removed_last(
    at_start: list[str], changes: list[tuple[bool, str]]
) -> None:
    notes, expected = Notes(), set(at_start)
    for is_added, tag in changes:
        notes = notes.with_tags([tag]) if is_added else notes.with_tags(remove=[tag])
        expected = expected | {tag} if is_added else expected - {tag}
    tags = notes.all_tags(at_start)
    assert set(tags) == expected
    assert len(tags) == len(expected)


@pytest.mark.parametrize("tag", ["", " a", "a,b", "a\nb", "x" * 101, "\x1b[31m"])
def test_tag_that_would_spoil_a_list_is_refused(tag: str) -> None:
    with pytest.raises(UserError, match="a tag is a printable word without commas"):
        Notes().with_tags([tag])


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff", b"[" * 100_000])
def test_damaged_notes_are_named_and_kept(tmp_path: Path, content: bytes) -> None:
    run = write_run(tmp_path)
    (run.path / FILE_NAME).write_bytes(content)
    with pytest.raises(UserError, match=f"^{re.escape(str(run.path / FILE_NAME))} is damaged"):
        read_notes(run)
    assert (run.path / FILE_NAME).read_bytes() == content


def test_foreign_values_in_notes_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    (run.path / FILE_NAME).write_text('{"tags": ["a", 1], "note": 3, "archived": "yes", "removed_tags": "a"}')
    assert read_notes(run) == Notes(tags=("a",))
