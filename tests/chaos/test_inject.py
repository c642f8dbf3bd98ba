"""The injector is what the kill tests stand on: it must see every operation, and lose what a disk may lose."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from tests.chaos.inject import STRUCK, Fault, Loss

pytestmark = pytest.mark.kill
HERE = Path(__file__).parent
SRC = HERE.parents[1] / "src"
DURABLE = """
from pathlib import Path
from labwright.runs.durable import write_durably
write_durably(Path("tree/x"), b"new content")
"""
REPLACED = """
import os
with open("tree/y", "wb") as file:
    file.write(b"new content")
    {sync}
os.replace("tree/y", "tree/x")
os.unlink("tree/old")
"""


def hit(folder: Path, script: str, **fault: object) -> subprocess.CompletedProcess[str]:
    """Run a script that works on `tree/`, with a fault; `tree/x` and `tree/old` are there before."""
    tree = folder / "tree"
    tree.mkdir(exist_ok=True)
    for path in tree.iterdir():
        path.unlink()
    (tree / "x").write_bytes(b"old content")
    (tree / "old").write_bytes(b"old")
    trace = folder / "trace"
    trace.unlink(missing_ok=True)
    text = Fault(root=str(tree), trace=str(trace), **fault).to_json()  # pyright: ignore[reportArgumentType]
    return subprocess.run(
        [sys.executable, "-c", f"import inject\ninject.install({text!r})\n{script}"],
        env={"PYTHONPATH": f"{HERE}:{SRC}"},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def operations(folder: Path) -> list[str]:
    return (folder / "trace").read_text().splitlines()


def test_every_operation_of_a_durable_write_is_seen_once(tmp_path: Path) -> None:
    assert hit(tmp_path, DURABLE).returncode == 0
    kinds = [line.split()[0] for line in operations(tmp_path)]
    assert kinds == ["open", "write", "fsync", "rename", "fsync"]
    assert operations(tmp_path)[-1] == "fsync ."


@pytest.mark.parametrize(
    "script",
    [
        "import _io; _io.open('tree/z', 'w').close()",
        "import os; os.close(os.open('tree/z', os.O_WRONLY | os.O_CREAT))",
        "open('tree/z', 'w').close()",
        "open('tree/z', 'ab', buffering=0).close()",
        "from pathlib import Path; Path('tree/z').touch()",
    ],
)
def test_a_file_is_seen_however_it_is_opened(tmp_path: Path, script: str) -> None:
    assert hit(tmp_path, script).returncode == 0
    assert operations(tmp_path) == ["open z"]


def test_reading_and_what_lies_elsewhere_are_not_counted(tmp_path: Path) -> None:
    assert hit(tmp_path, "open('tree/x').read(); open('elsewhere', 'w').write('x')").returncode == 0
    assert not (tmp_path / "trace").read_text()


def test_a_kill_comes_before_the_operation_it_names(tmp_path: Path) -> None:
    assert hit(tmp_path, DURABLE, mode="kill", at=4).returncode == -signal.SIGKILL
    assert (tmp_path / "tree" / "x").read_bytes() == b"old content"
    assert hit(tmp_path, DURABLE, mode="after", at=4).returncode == -signal.SIGKILL
    assert (tmp_path / "tree" / "x").read_bytes() == b"new content"
    assert operations(tmp_path)[-1] == STRUCK


def test_a_torn_write_leaves_half_of_it(tmp_path: Path) -> None:
    assert hit(tmp_path, DURABLE, mode="torn", at=2).returncode == -signal.SIGKILL
    [torn] = (tmp_path / "tree").glob(".x.*.tmp")
    assert torn.read_bytes() == b"new c"


def test_a_full_disk_takes_half_of_a_write_and_then_nothing(tmp_path: Path) -> None:
    ended = hit(tmp_path, "with open('tree/z', 'wb') as file: file.write(b'1234')", mode="full", at=2)
    assert ended.returncode == 1 and "No space left" in ended.stderr
    assert (tmp_path / "tree" / "z").read_bytes() == b"12"


def test_deleting_works_on_a_full_disk_but_not_on_a_broken_one(tmp_path: Path) -> None:
    script = "import os\ntry:\n    open('tree/z', 'w')\nexcept OSError:\n    os.unlink('tree/old')"
    assert hit(tmp_path, script, mode="full", at=1).returncode == 0
    ended = hit(tmp_path, script, mode="broken", at=1)
    assert ended.returncode == 1 and "Input/output error" in ended.stderr


@pytest.mark.parametrize("loss", get_args(Loss))
def test_what_was_written_durably_is_old_or_new_after_a_power_loss(tmp_path: Path, loss: Loss) -> None:
    seen = set[bytes]()
    for at in range(1, 7):  # the sixth: the end of the process
        assert hit(tmp_path, DURABLE, mode="power", at=at, loss=loss).returncode == -signal.SIGKILL
        seen.add((tmp_path / "tree" / "x").read_bytes())
    assert (tmp_path / "tree" / "x").read_bytes() == b"new content"
    assert seen == {b"old content", b"new content"}


@pytest.mark.parametrize(("loss", "left"), [("contents", b""), ("zeroed", bytes(11))])
def test_a_power_loss_shows_that_a_file_was_not_synced(tmp_path: Path, loss: Loss, left: bytes) -> None:
    hit(tmp_path, REPLACED.format(sync=""), mode="power", loss=loss)
    assert (tmp_path / "tree" / "x").read_bytes() == left
    hit(tmp_path, REPLACED.format(sync="file.flush(); os.fsync(file.fileno())"), mode="power", loss=loss)
    assert (tmp_path / "tree" / "x").read_bytes() == b"new content"


def test_a_power_loss_shows_that_a_directory_was_not_synced(tmp_path: Path) -> None:
    synced_file = REPLACED.format(sync="file.flush(); os.fsync(file.fileno())")
    hit(tmp_path, synced_file, mode="power", loss="renames")
    left = {path.name: path.read_bytes() for path in (tmp_path / "tree").iterdir()}
    assert left == {"x": b"old content"}, "the deletion has come through, the new name has not"
    hit(tmp_path, synced_file, mode="power", loss="everything")
    assert {path.name for path in (tmp_path / "tree").iterdir()} == {"x", "old"}


def test_a_directory_that_nothing_synced_is_gone_with_what_is_in_it(tmp_path: Path) -> None:
    script = "import os\nos.mkdir('tree/d')\nopen('tree/d/z', 'w').write('1')\nos.fsync(os.open('tree/d', os.O_RDONLY))"
    hit(tmp_path, script, mode="power", loss="everything")
    assert not (tmp_path / "tree" / "d").exists()
    hit(tmp_path, f"{script}\nos.fsync(os.open('tree', os.O_RDONLY))", mode="power", loss="everything")
    assert (tmp_path / "tree" / "d" / "z").read_bytes() == b"", "its name was synced, its content was not"
