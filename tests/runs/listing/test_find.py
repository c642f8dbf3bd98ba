import re
from pathlib import Path

import pytest

from labwright.args.errors import UserError
from labwright.runs.listing.find import find_run, find_runs
from labwright.runs.listing.notes import Notes, write_notes
from tests.written_runs import write_run

PREFIX = "2026-01-31_12-00-00_"


@pytest.mark.parametrize("text", ["ab12", "b12", PREFIX + "ab12", PREFIX + "ab", "last", "best:val/loss", "best:loss"])
def test_run_is_found_by_what_names_it(tmp_path: Path, text: str) -> None:
    write_run(tmp_path, "cd34", val_loss=[0.7])
    run = write_run(tmp_path, "ab12", val_loss=[0.9, 0.1, 0.5])
    assert find_run(text, tmp_path) == run


def test_run_is_found_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = write_run(tmp_path / "results", "ab12")
    moved = run.path.rename(tmp_path / "moved hier, ü")
    monkeypatch.chdir(tmp_path)
    results = tmp_path / "results"
    other = write_run(results, "cd34")
    assert find_run(str(moved), results).path == moved
    assert find_run(moved.name, results).path == moved
    assert find_run(f"./{moved.name}", results).path == moved
    assert find_run(f"results/digits/{other.path.name}", results).path == other.path
    assert find_run(f"digits/{other.path.name}", results).path == other.path


def test_last_is_the_run_that_started_last_within_one_second_too(tmp_path: Path) -> None:
    for run_id in ("ffff", "0000", "8888"):
        run = write_run(tmp_path, run_id)
        assert find_run("last", tmp_path) == run


@pytest.mark.parametrize(
    ("metric", "best"), [("val/loss", "aaaa"), ("val/accuracy", "aaaa"), ("test/mse", "bbbb"), ("test/f1", "cccc")]
)
def test_best_is_the_lowest_loss_and_the_highest_score(tmp_path: Path, metric: str, best: str) -> None:
    write_run(tmp_path, "aaaa", val_loss=[0.1], test={"mse": 3.0, "f1": 0.1})
    write_run(tmp_path, "bbbb", val_loss=[0.2], test={"mse": 1.0, "f1": 0.2})
    write_run(tmp_path, "cccc", val_loss=[0.3], test={"mse": 2.0, "f1": 0.3})
    assert find_run(f"best:{metric}", tmp_path).path.name == PREFIX + best


def test_what_a_run_was_told_decides_the_direction(tmp_path: Path) -> None:
    args = {"minimize_best_model_metric": False}
    write_run(tmp_path, "aaaa", val_loss=[0.1], args=args)
    write_run(tmp_path, "bbbb", val_loss=[0.2], args=args)
    assert find_run("best:val/loss", tmp_path).path.name == PREFIX + "bbbb"


def test_archived_and_debug_runs_are_never_the_best(tmp_path: Path) -> None:
    write_notes(write_run(tmp_path, "aaaa", val_loss=[0.1]), Notes(archived=True))
    write_run(tmp_path, "bbbb", val_loss=[0.2], debug=True)
    write_run(tmp_path, "cccc", val_loss=[0.3])
    assert find_run("best:val/loss", tmp_path).path.name == PREFIX + "cccc"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        (
            "ff",
            'no run "ff" in RESULTS; a run is a path, an id, the unique beginning or end of one, last, or best:METRIC',
        ),
        ("2026-01-31_12-00-00_ab13", f'no run "2026-01-31_12-00-00_ab13" in RESULTS; did you mean {PREFIX}ab12?'),
        ("12", f'"12" fits 2 runs: digits/{PREFIX}cd12, digits/{PREFIX}ab12'),
        ("", 'no run "" in RESULTS; a run is a path, an id, the unique beginning or end of one, last, or best:METRIC'),
        ("best:val/acuracy", "best:val/acuracy: no run in RESULTS has val/acuracy; did you mean val/accuracy?"),
        ("./nowhere", "./nowhere: no such run directory"),
    ],
)
def test_what_is_not_found_names_what_is_near(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, error: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path, "ab12")
    write_run(tmp_path, "cd12")
    expected = error.replace("RESULTS", str(tmp_path)).replace("./nowhere", text and str(tmp_path / "nowhere"))
    with pytest.raises(UserError, match=f"^{re.escape(expected)}$"):
        find_run(text, tmp_path)


@pytest.mark.parametrize("text", ["last", "ab12", "best:val/loss"])
def test_empty_results_directory_is_named(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=re.escape(f"there is no run in {tmp_path}")):
        find_run(text, tmp_path)


def test_several_names_find_each_run_once_in_their_order(tmp_path: Path) -> None:
    first, second = write_run(tmp_path, "ab12"), write_run(tmp_path, "cd34")
    assert find_runs(["cd34", "last", "ab12", str(first.path)], tmp_path) == [second, first]


def test_filter_finds_all_it_fits_but_archived_runs(tmp_path: Path) -> None:
    first, second = write_run(tmp_path, "aaaa", args={"seed": 1}), write_run(tmp_path, "bbbb", args={"seed": 2})
    hidden = write_run(tmp_path, "cccc", args={"seed": 1})
    write_notes(hidden, Notes(archived=True))
    assert find_runs(["seed>=1"], tmp_path) == [first, second]
    assert find_runs(["archived or seed==9"], tmp_path) == [hidden]
    with pytest.raises(UserError, match=re.escape(f'no run in {tmp_path} fits "seed==3"')):
        find_runs(["seed==3"], tmp_path)


def test_damaged_run_is_found_by_its_id(tmp_path: Path) -> None:
    run = write_run(tmp_path, "ab12")
    run.record_path.unlink()
    assert find_run("ab12", tmp_path) == run


def test_last_is_the_newest_also_where_it_is_damaged_and_never_the_one_before(tmp_path: Path) -> None:
    for name in ("2026-01-01_00-00-00_aaaa", "2026-01-02_00-00-00_bbbb"):
        (tmp_path / "digits" / name).mkdir(parents=True)
        (tmp_path / "digits" / name / "run.json").write_text('{"status": "finished", "started_at": "2026-01-01"}')
    newest = tmp_path / "digits" / "2026-01-02_00-00-00_bbbb"
    (newest / "run.json").write_text('{"a"')
    assert find_run("last", tmp_path).path == newest
