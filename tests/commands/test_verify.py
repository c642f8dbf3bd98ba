"""`verify RUN`, on real runs that are really killed."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from ..conftest import Ended
from .lab_to_repeat import new_lab, start_run

CommandLine = Callable[..., Ended]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_lab(tmp_path_factory.mktemp("repeat") / "lab")


@pytest.mark.slow
@pytest.mark.kill
def test_a_run_that_resumes_exactly_gets_a_certificate(command_line: CommandLine, lab: Path) -> None:
    run = start_run(lab, "--experiment_id=points", "--use_cuda=false")
    ended = command_line("verify", str(run), "--kills=2")
    assert ended.code == 0, ended.out + ended.err
    certificate = json.loads((run / "certificate.json").read_bytes())
    assert ended.out == f"{certificate['verdict']}\n"
    assert ended.out.startswith("verified: killed 2 times (after step ")
    assert certificate["short_form"] == {"epochs": 2, "limit_train_samples": 30}
    assert certificate["num_compared"]["fingerprint"] == certificate["num_steps"] == 16
    assert any(0 < kill["step"] < 16 for kill in certificate["kills"])
    assert certificate["code"]["snapshot"] == json.loads((run / "run.json").read_bytes())["git"]["snapshot"]
    assert not [path for path in lab.rglob("*.tmp")]


@pytest.mark.slow
@pytest.mark.kill
def test_a_run_whose_state_is_not_whole_is_found_out(command_line: CommandLine, lab: Path) -> None:
    run = start_run(lab, "--experiment_id=counter", "--resumes=forgetful")
    ended = command_line("verify", str(run), "--kills=1", "--json")
    said = json.loads(ended.out)
    assert (ended.code, said["verified"]) == (1, False), ended.err
    assert said["short_form"] == {"epochs": 2}  # it takes no other number of samples
    assert said["differences"] == [
        "history: first in epoch 2, train (loss)",
        "the last checkpoint: count, run.best.value",
        "model.safetensors: count",
    ]
    assert json.loads((run / "certificate.json").read_bytes())["verdict"] == said["verdict"]


@pytest.mark.slow
@pytest.mark.kill
@pytest.mark.parametrize(
    ("resumes", "code", "said"),
    [
        ("never", 1, "  resumed after kill 1, it ended with exit code 1: .*it cannot go back"),
        ("anew", 0, "verified: killed 1 time .after epoch 0 of 2. and resumed, .*.4 history rows."),
    ],
)
def test_a_run_that_cannot_go_back_is_not_verified_but_one_that_begins_anew_is(
    command_line: CommandLine, lab: Path, resumes: str, code: int, said: str
) -> None:
    run = start_run(lab, "--experiment_id=counter", f"--resumes={resumes}")
    ended = command_line("verify", str(run), "--kills=1")
    assert ended.code == code, ended.out + ended.err
    assert re.fullmatch(said, ended.out.splitlines()[-1]), ended.out


def test_verifying_without_a_kill_is_refused(command_line: CommandLine) -> None:
    assert command_line("verify", "last", "--kills=0").error == "verify: --kills=0 proves nothing; kill it once or more"
