import math
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from labwright.runs.listing import index
from labwright.runs.listing.index import FILE_NAME, read_index, run_paths
from labwright.runs.listing.notes import Notes, write_notes
from labwright.runs.listing.summary import RunSummary, summarize
from labwright.runs.lock import RunLock
from tests.written_runs import write_run


@pytest.fixture
def summarized(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The runs whose files are read from now on."""
    read: list[str] = []

    def note_and_summarize(path: Path) -> RunSummary:
        read.append(path.name[-4:])
        return summarize(path)

    monkeypatch.setattr(index, "summarize", note_and_summarize)
    return read


def ids(results: Path) -> list[str]:
    return [run.id[-4:] for run in read_index(results)]


def test_index_gives_back_what_the_directories_say(tmp_path: Path, summarized: list[str]) -> None:
    runs = [
        write_run(tmp_path, "aaaa", options={"run_name": "ü", "tags": ["a"]}, debug=True),
        write_run(tmp_path, "bbbb", status="failed", git={"commit": "ab", "tree": "cd"}, parent={"run": "x"}),
        write_run(tmp_path, "cccc", val_loss=[math.nan, 0.5, math.inf]),
    ]
    write_notes(runs[0], Notes(note="n", archived=True))
    direct = [summarize(run.path) for run in runs]
    assert read_index(tmp_path) == direct
    summarized.clear()
    assert read_index(tmp_path) == direct
    assert [type(value) for run in read_index(tmp_path) for value in (run.debug, run.archived)] == [bool] * 6
    assert summarized == []


def test_summary_holds_the_metrics_of_the_weights_that_were_kept(tmp_path: Path) -> None:
    run = summarize(write_run(tmp_path, val_loss=[0.5, 0.25, 0.75], test={"accuracy": 0.9, "night/f1": 0.5}).path)
    assert run.metrics == {
        "train/loss": 0.225,
        "val/loss": 0.25,
        "val/accuracy": 0.75,
        "test/accuracy": 0.9,
        "night/f1": 0.5,
    }
    assert run.last["val/loss"] == 0.75
    assert (run.epoch, run.step, run.best_metric, run.best_epoch, run.lower_is_better) == (3, 30, "val/loss", 2, True)
    assert run.args["model.hidden_sizes"] == [64]


def test_unfinished_run_is_summed_up_by_its_best_epoch_so_far(tmp_path: Path) -> None:
    run = write_run(tmp_path, val_loss=[0.5, 0.25, 0.75], status="failed", args={"best_model_metric": "accuracy"})
    summary = summarize(run.path)
    assert (summary.status, summary.problem) == ("failed", "KilledError: killed")
    assert (summary.best_metric, summary.best_epoch, summary.metrics["val/loss"]) == ("val/accuracy", 2, 0.25)


def test_only_what_changed_is_read_again(tmp_path: Path, summarized: list[str]) -> None:
    runs = {name: write_run(tmp_path, name) for name in ("aaaa", "bbbb", "cccc", "dddd")}
    read_index(tmp_path)
    summarized.clear()
    with runs["aaaa"].history_path.open("a") as file:
        file.write('{"epoch": 4, "step": 40, "split": "val", "metrics": {"loss": 0.1}}\n')
    write_notes(runs["bbbb"], Notes(tags=("new",)))
    content = runs["cccc"].record_path.read_text()
    runs["cccc"].record_path.write_text(content.replace('"finished"', '"failed"'))
    found = {run.id[-4:]: run for run in read_index(tmp_path)}
    assert sorted(summarized) == ["aaaa", "bbbb", "cccc"]
    assert found["aaaa"].epoch == 4
    assert found["bbbb"].tags == ["new"]
    assert found["cccc"].status == "failed"
    write_notes(runs["bbbb"], Notes())
    assert [run.tags for run in read_index(tmp_path)] == [[]] * 4


def test_moved_and_deleted_runs_are_known_where_they_are(tmp_path: Path) -> None:
    first, second = write_run(tmp_path, "aaaa"), write_run(tmp_path, "bbbb")
    read_index(tmp_path)
    first.path.rename(tmp_path / "digits" / "moved")
    second.record_path.unlink()
    second.args_path.unlink()
    second.history_path.unlink()
    second.path.rmdir()
    [run] = read_index(tmp_path)
    assert (run.id, run.status) == ("moved", "finished")
    tmp_path.rename(tmp_path.with_name("elsewhere"))
    [run] = read_index(tmp_path.with_name("elsewhere"))
    assert run.path == tmp_path.with_name("elsewhere") / "digits" / "moved"


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:5000])


def _other_version(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA user_version = 7")
        connection.execute("DROP TABLE runs")
    connection.close()


def _other_content(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE runs SET summary = 'x'")
    connection.close()


def _other_table(path: Path) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE runs")
        connection.execute("CREATE TABLE runs (x)")
    connection.close()


@pytest.mark.parametrize(
    "harm",
    [
        Path.unlink,
        _truncated,
        _other_version,
        _other_content,
        _other_table,
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database at all" * 1000),
    ],
)
def test_damaged_index_is_made_again(tmp_path: Path, summarized: list[str], harm: Callable[[Path], None]) -> None:
    write_run(tmp_path, "aaaa")
    before = read_index(tmp_path)
    harm(tmp_path / FILE_NAME)
    assert read_index(tmp_path) == before
    assert summarized == ["aaaa", "aaaa"]
    assert read_index(tmp_path) == before
    assert summarized == ["aaaa", "aaaa"]


def test_index_that_cannot_be_used_is_done_without(tmp_path: Path) -> None:
    write_run(tmp_path, "aaaa")
    (tmp_path / FILE_NAME).mkdir()
    assert ids(tmp_path) == ["aaaa"]
    (tmp_path / FILE_NAME).rmdir()
    assert ids(tmp_path) == ["aaaa"]


def test_index_held_by_another_process_is_done_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_TIMEOUT_SECONDS", 0.01)
    write_run(tmp_path, "aaaa")
    read_index(tmp_path)
    write_run(tmp_path, "bbbb")
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("BEGIN EXCLUSIVE")
    assert ids(tmp_path) == ["aaaa", "bbbb"]
    connection.close()
    assert ids(tmp_path) == ["aaaa", "bbbb"]


@pytest.fixture
def without_rights() -> Iterator[Path]:
    """A folder in which this process may write no more; root gives up being root, whom nothing is refused."""
    is_root = os.geteuid() == 0
    with TemporaryDirectory() as name:
        folder = Path(name)
        write_run(folder, "aaaa")
        folder.chmod(0o555)
        if is_root:
            os.seteuid(65534)
        yield folder
        if is_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_read_only_results_are_listed_and_left_alone(
    without_rights: Path, tree: Callable[[Path], Mapping[str, bytes]]
) -> None:
    before = tree(without_rights)
    assert [run.status for run in read_index(without_rights)] == ["finished"]
    assert tree(without_rights) == before


def test_first_look_may_be_cut_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_CHUNK", 2)
    for number in range(5):
        write_run(tmp_path, f"aaa{number}", val_loss=[0.5])
    read: list[Path] = []

    def interrupted(path: Path) -> RunSummary:
        read.append(path)
        if len(read) == 4:
            raise KeyboardInterrupt
        return summarize(path)

    monkeypatch.setattr(index, "summarize", interrupted)
    with pytest.raises(KeyboardInterrupt):
        read_index(tmp_path)
    read.clear()
    assert len(read_index(tmp_path)) == 5
    assert len(read) == 2


def test_run_that_nobody_holds_is_not_running(tmp_path: Path) -> None:
    run = write_run(tmp_path, status="running")
    with RunLock.take(run.path):
        assert [each.status for each in read_index(tmp_path)] == ["running"]
    assert [each.status for each in read_index(tmp_path)] == ["killed"]
    assert [each.status for each in read_index(tmp_path)] == ["killed"]


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("run.json", None, "cannot be read: No such file or directory"),
        ("run.json", b"{", "run.json is damaged: it is not JSON"),
        ("run.json", b"[]", "run.json is damaged: it is not a JSON object"),
        ("run.json", b'{"status": "finished", "started_at": "yesterday"}', "Invalid isoformat string: 'yesterday'"),
        ("run.json", b"\xff", "run.json is damaged: it is not JSON"),
        ("args.yaml", None, "args.yaml: no such file"),
        ("args.yaml", b"a: [", "args.yaml: is not valid YAML"),
        ("history.jsonl", b"x\n", "history.jsonl, line 1: not a JSON object"),
        ("history.jsonl", b'{"epoch": 1}\n', "metrics"),
        ("history.jsonl", b'{"epoch": 1, "split": "val", "metrics": []}\n', "has no attribute 'items'"),
        ("notes.json", b"{", "notes.json is damaged: it is not JSON"),
    ],
)
def test_damaged_run_is_listed_with_what_is_wrong(
    tmp_path: Path, file: str, content: bytes | None, problem: str
) -> None:
    run = write_run(tmp_path, "aaaa")
    write_run(tmp_path, "bbbb")
    if content is None:
        (run.path / file).unlink()
    else:
        (run.path / file).write_bytes(content)
    damaged = next(each for each in read_index(tmp_path) if each.path == run.path)
    assert damaged.status == "damaged"
    assert problem in (damaged.problem or "")
    assert damaged == summarize(run.path)


def test_strange_values_in_a_record_are_left_out(tmp_path: Path) -> None:
    run = write_run(tmp_path)
    run.record_path.write_text(
        '{"status": 5, "started_at": [], "options": 3, "git": "x", "result": {"test": {"f1": "high"}}, "debug": "no"}'
    )
    summary = summarize(run.path)
    assert (summary.status, summary.debug, summary.started_at) == ("damaged", False, None)
    assert "test/f1" not in summary.metrics


@pytest.mark.parametrize("text", ["\\ud800", "a\\u0000b"])
def test_text_that_is_no_unicode_is_listed_all_the_same(tmp_path: Path, text: str) -> None:
    run = write_run(tmp_path, "aaaa")
    content = run.record_path.read_text().replace('"digits"', f'"{text}"')
    run.record_path.write_text(content)
    other = write_run(tmp_path, "bbbb")
    for _ in range(2):
        assert {each.path for each in read_index(tmp_path)} == {run.path, other.path}


def test_runs_are_found_at_any_depth_and_links_are_not_followed(tmp_path: Path) -> None:
    results = tmp_path / "results"
    deep = write_run(results / "digits" / "sweep", "aaaa")
    outside = write_run(tmp_path / "outside", "bbbb")
    linked = results / "digits" / outside.path.name
    linked.symlink_to(outside.path)
    (results / "loop").symlink_to(results)
    (results / "digits" / ".hidden").mkdir()
    (results / "digits" / "2026-01-31_12-00-00_cccc").write_text("a file")
    inner = deep.path / "copy" / "2026-01-31_12-00-00_dddd"
    inner.mkdir(parents=True)
    assert {Path(path) for path in run_paths(results)} == {deep.path, linked}


def test_missing_results_directory_has_no_runs(tmp_path: Path) -> None:
    assert read_index(tmp_path / "nowhere") == []
    assert list(tmp_path.iterdir()) == []


def test_many_processes_may_index_at_once(tmp_path: Path) -> None:
    for number in range(20):
        write_run(tmp_path, f"aa{number:02}", val_loss=[0.5])
    script = f"""
from pathlib import Path
from labwright.runs.listing.index import read_index
print(len(read_index(Path({str(tmp_path)!r}))))
"""
    processes = [
        subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    assert [process.communicate(timeout=600) for process in processes] == [("20\n", "")] * 4
    with sqlite3.connect(tmp_path / FILE_NAME) as connection:
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (20,)
    connection.close()
