"""`run.py data`: its verbs, and what is wrong with a path, the same for all that read one."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.commands.data import VERBS

from ...conftest import Ended

CommandLine = Callable[..., Ended]


def test_without_a_verb_it_lists_them(command_line: CommandLine) -> None:
    ended = command_line("data")
    assert ended.code == 0
    assert all(f"  {verb} " in ended.out and text in ended.out for verb, text in VERBS.items())
    assert command_line("data", "--help").out == ended.out


def test_a_typo_in_a_verb_gets_its_nearest(command_line: CommandLine) -> None:
    assert command_line("data", "inof").error.startswith('data: "inof" is not one of pack, info, ls')
    assert command_line("data", "preveiw").error.endswith("did you mean preview?")


def test_completion_knows_the_verbs_and_their_flags(command_line: CommandLine) -> None:
    script = command_line("completion", "bash").out
    assert f"_run_py_data_pos_0_choices=({' '.join(VERBS)})" in script
    assert re.search(r"_run_py_data_preview_option_strings=\(.* --mask .*\)", script)


@pytest.mark.parametrize("verb", ["info", "ls", "cat", "preview", "verify", "index"])
def test_a_verb_has_help_and_says_what_it_misses(command_line: CommandLine, verb: str) -> None:
    ended = command_line("data", verb, "--help")
    assert ended.code == 0 and ended.out.startswith(f"usage: run.py data {verb}")
    assert "--json" in ended.out and "--results_dir" not in ended.out
    assert command_line("data", verb).error.startswith(f"data {verb}: the following arguments are required: ")


@pytest.mark.parametrize(
    "words", [["info"], ["ls"], ["cat"], ["preview"], ["verify"], ["index"]], ids=lambda words: words[0]
)
@pytest.mark.parametrize("path", ["nothing", "empty", "cut.tar"])
def test_what_is_no_dataset_is_refused_in_one_line(
    command_line: CommandLine, tmp_path: Path, words: list[str], path: str
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "cut.tar").write_bytes(b"not much")
    ended = command_line("data", *words, path, *(["a.png"] if words == ["cat"] else []))
    if (words, path) == (["verify"], "cut.tar"):
        assert ended.code == 1 and "cut.tar: it was cut short" in ended.out
    else:
        assert path in ended.error


@pytest.mark.parametrize("verb", ["info", "ls", "preview"])
def test_a_split_that_is_not_there_is_refused_with_those_that_are(
    command_line: CommandLine, pets: Path, verb: str
) -> None:
    error = command_line("data", verb, str(pets), "--split=tran").error
    assert error == '--split: "tran" is not one of train, test; did you mean train?'


def test_a_damaged_manifest_is_one_line(command_line: CommandLine, pets: Path) -> None:
    (pets / "dataset.json").write_text('{"format": ')
    for words in (["info"], ["ls"], ["preview"]):
        assert "dataset.json is damaged" in command_line("data", *words, str(pets)).error
