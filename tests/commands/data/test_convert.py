"""`data convert`: shards of others become labwright's."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from labwright.shards import ShardDataset, open_dataset, verify

from ...conftest import Ended
from ...shards.quix_writer import write_quix

CommandLine = Callable[..., Ended]


@pytest.fixture
def quix(tmp_path: Path) -> Path:
    samples = [(f"{number:03d}", {"cls": b"%d" % (number % 2), "txt": b"hello"}) for number in range(6)]
    return write_quix(tmp_path / "quix", {"train": samples, "val": samples[:2]})


def test_quix_shards_get_an_index_and_checksums(command_line: CommandLine, quix: Path, tmp_path: Path) -> None:
    done = command_line("data", "convert", str(quix), "ours")
    assert done.code == 0, done.err
    assert done.out.splitlines()[1:] == [
        "         train  val",
        "samples      6    2",
        "cls 0        3    1",
        "cls 1        3    1",
    ]
    assert open_dataset(tmp_path / "ours").kind == "labwright"
    assert not [*verify(tmp_path / "ours")]
    assert ShardDataset(tmp_path / "ours", "train")[5]["txt"] == "hello"


@pytest.mark.slow
def test_an_incomplete_sample_is_refused_or_counted(command_line: CommandLine, tmp_path: Path) -> None:
    write_quix(tmp_path / "quix", {"train": [("a", {"cls": b"1", "txt": b"x"}), ("b", {"cls": b"1"})]})
    assert (
        "'b' in train_0000.tar: it is incomplete: it has no txt"
        in command_line("data", "convert", "quix", "ours").error
    )
    facts = json.loads(command_line("data", "convert", "quix", "ours", "--skip_unreadable", "--json").out)
    assert facts["num_samples"] == 1
    assert facts["left_out"] == ["'b' in train_0000.tar: it is incomplete: it has no txt"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nothing", "ours"], "nothing does not exist"),
        (["quix", "quix"], "quix lies in "),
        (["quix", "ours", "--codecs=x=cls"], "has no field 'x'; it has cls, txt"),
        (["quix", "ours", "--codecs=txt=cls"], "b'hello' is not an integer of 64 bits"),
        (["quix", "there"], "there holds 'precious.txt' and no dataset of shards"),
    ],
)
def test_what_cannot_be_done_is_one_line(command_line: CommandLine, quix: Path, words: list[str], said: str) -> None:
    (quix.parent / "there").mkdir()
    (quix.parent / "there/precious.txt").touch()
    assert said in command_line("data", "convert", *words).error
