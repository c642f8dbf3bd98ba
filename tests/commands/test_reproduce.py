"""`reproduce RUN`, on a good run and on runs with something planted."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Ended
from ..repositories import git
from .lab_to_repeat import new_lab, start_run

CommandLine = Callable[..., Ended]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_lab(tmp_path_factory.mktemp("repeat") / "lab")


@pytest.fixture(scope="module")
def run(lab: Path) -> Path:
    """Eight steps an epoch, for three epochs; the code has changed since."""
    run = start_run(lab, "--experiment_id=points", "--use_cuda=false")
    change_code(lab)
    return run


def change_code(lab: Path) -> None:
    points = lab / "src" / "tinylab" / "points.py"
    points.write_text(points.read_text().replace("Dropout()", "Dropout(0.25)"))


def changed_record(run: Path, **facts: Any) -> None:
    record = json.loads((run / "run.json").read_bytes())
    (run / "run.json").write_text(json.dumps(record | facts))


@pytest.fixture
def record_as_before(run: Path) -> Any:
    before = {name: (run / name).read_bytes() for name in ("run.json", "args.yaml")}
    yield
    for name, content in before.items():
        (run / name).write_bytes(content)


def test_a_good_run_is_identical_though_the_code_has_changed_since(command_line: CommandLine, run: Path) -> None:
    ended = command_line("reproduce", str(run))
    assert (ended.code, ended.out) == (0, "identical (24 steps, final weights equal)\n"), ended.err
    assert "with the code of its snapshot\nenvironment: as it was\n" in ended.err


def test_a_run_of_two_ranks_is_done_again_on_two(command_line: CommandLine, lab: Path) -> None:
    """Its dropout is drawn by each rank for itself: one process came to other weights."""
    ended = command_line("reproduce", str(start_run(lab, "--experiment_id=points", "--use_cuda=false", num_ranks=2)))
    assert (ended.code, ended.out) == (0, "identical (24 steps, final weights equal)\n"), ended.err
    assert "with the code of its snapshot, on 2 ranks\n" in ended.err


def test_another_order_of_the_data_is_found(
    command_line: CommandLine, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TINYLAB_ORDER", "other")
    ended = command_line("reproduce", str(run))
    assert ended.code == 1, ended.out
    assert ended.out.splitlines()[0] == "first differing at step 9 (epoch 2, batch 1): data order"


@pytest.mark.usefixtures("record_as_before")
def test_another_seed_is_found(command_line: CommandLine, run: Path) -> None:
    text = (run / "args.yaml").read_text()
    (run / "args.yaml").write_text(text.replace("seed: 0", "seed: 1"))
    ended = command_line("reproduce", str(run))
    assert ended.code == 1, ended.out
    assert ended.out.splitlines()[:2] == [
        "args.yaml was changed since the run: this was done with other arguments",
        "first differing at step 1 (epoch 1, batch 1): data order",
    ]


@pytest.mark.usefixtures("record_as_before")
def test_other_code_is_found(command_line: CommandLine, lab: Path, run: Path) -> None:
    changed_record(run, git={"commit": git(lab, "rev-parse", "HEAD"), "branch": "trunk", "dirty": False})
    ended = command_line("reproduce", str(run), "--json")
    said = json.loads(ended.out)
    assert (ended.code, said["verdict"]) == (1, "different"), ended.err
    assert said["lines"][0] == "first differing at step 1 (epoch 1, batch 1): weights"
    assert said["divergence"]["causes"] == {"code": ["dirty False | True"]}
    assert "with the code as it is now, since none was kept" in ended.err


@pytest.mark.usefixtures("record_as_before")
def test_a_run_that_did_not_finish_is_refused(command_line: CommandLine, run: Path) -> None:
    changed_record(run, status="interrupted")
    assert command_line("reproduce", str(run)).error.endswith("is interrupted; only a finished run can be reproduced")
