"""What a comparison of two runs says, of run directories made by hand."""

from pathlib import Path
from typing import Any

import pytest

from labwright.args import UserError
from labwright.runs import History, RunDirectory, RunRecord, strict_json
from labwright.runs.proof.divergence import compare_runs
from labwright.runs.proof.fingerprints import FILE_NAME, Fingerprint, FingerprintLog

STEPS = [Fingerprint(1 + step // 5, step, step, 1 / (step + 1), 1.0) for step in range(10)]
ARGS = {"experiment_id": "digits", "seed": 0, "accumulate_batches": 1, "model": {"kind": "mlp", "hidden_sizes": [64]}}
FACTS = {
    "git": {"commit": "a" * 40, "dirty": False, "tree": "b" * 40},
    "versions": {"torch": "2.6.0", "numpy": "2.0.0"},
    "host": {"python": "3.11.7", "pid": 7},
    "device": "cpu",
    "dataset": {"name": "digits", "fingerprint": "c" * 64},
}


def make_run(
    path: Path,
    *,
    args: dict[str, Any] | None = None,
    facts: dict[str, Any] | None = None,
    steps: list[Fingerprint] | None = None,
    losses: tuple[float, ...] = (0.5, 0.25),
    weights: bytes | None = b"weights",
) -> RunDirectory:
    """A finished run of two epochs; what is not given is as in every other."""
    path.mkdir()
    run = RunDirectory(path)
    run.write_args(ARGS | (args or {}))
    RunRecord.start(run.record_path, experiment_id="digits")
    run.record_path.write_bytes(strict_json(run.record() | FACTS | (facts or {})))
    history = History(run.history_path)
    for epoch, loss in enumerate(losses, start=1):
        history.append(epoch, 5 * epoch, "train", {"loss": loss, "accuracy": 0.5})
    log = FingerprintLog(path / FILE_NAME)
    log.append(STEPS if steps is None else steps)
    log.close()
    if weights is not None:
        run.model_path.write_bytes(weights)
    return run


def compared(tmp_path: Path, **changes: Any) -> list[str]:
    """What is said of a run and one with these changes."""
    return compare_runs(make_run(tmp_path / "a"), make_run(tmp_path / "b", **changes)).lines()


def parted(step: int, **values: Any) -> list[Fingerprint]:
    """The steps, one of them as given and those after it with twice the loss."""
    later = [row._replace(loss=row.loss * 2) for row in STEPS[step:]]
    return [*STEPS[: step - 1], STEPS[step - 1]._replace(**values), *later]


def test_two_equal_runs_are_identical_wherever_they_ran(tmp_path: Path) -> None:
    host = {"host": {"python": "3.11.7", "pid": 8, "hostname": "other"}}
    assert compared(tmp_path, facts=host) == ["identical (10 steps, final weights equal)"]


def test_identical_runs_that_kept_no_weights_are_told_by_their_steps(tmp_path: Path) -> None:
    assert compared(tmp_path, weights=None) == ["identical (10 steps)"]


def test_another_seed_shows_in_the_data_order_and_is_named_as_its_cause(tmp_path: Path) -> None:
    steps = parted(1, order=99, randomness=99, loss=1.5)
    assert compared(tmp_path, args={"seed": 1}, steps=steps, losses=(1.0, 0.5), weights=b"others") == [
        "first differ at step 1 (epoch 1, batch 1): data order",
        "  there too: randomness, weights",
        "  losses: up to 0.5 apart (relative)",
        "  history: first differs in epoch 1, train (loss 0.5 | 1.0)",
        "  final weights: differ",
        "recorded as different before the first step:",
        "  args: seed 0 | 1",
    ]


def test_weights_that_part_after_equal_steps_point_at_code_and_versions(tmp_path: Path) -> None:
    facts = {
        "git": {"commit": "d" * 40, "dirty": True, "tree": "e" * 40},
        "versions": {"torch": "2.7.0", "numpy": "2.0.0", "extra": "1.0"},
        "device": "cuda:0",
        "dataset": {"name": "digits", "fingerprint": "f" * 64},
    }
    lines = compared(tmp_path, facts=facts, steps=parted(7, norm=3.0), losses=(0.5, 0.4))
    assert lines[0] == "first differ at step 7 (epoch 2, batch 2): weights"
    assert lines[-4:] == [
        f"  data: fingerprint {'c' * 37}... | {'f' * 37}...",
        "  code: tree bbbbbbbbbbbb | eeeeeeeeeeee",
        "  versions: torch 2.6.0 | 2.7.0, extra - | 1.0",
        "  machine: device cpu | cuda:0",
    ]


def test_with_accumulation_the_batches_of_the_step_are_named(tmp_path: Path) -> None:
    four = {"accumulate_batches": 4}
    a, b = make_run(tmp_path / "a", args=four), make_run(tmp_path / "b", args=four, steps=parted(7, randomness=9))
    divergence = compare_runs(a, b)
    assert divergence.headline() == "first differ at step 7 (epoch 2, batches 5-8): randomness"
    assert divergence.lines()[-1] == "recorded as different before the first step: nothing"
    difference = divergence.to_json()["difference"]
    assert difference == {"step": 7, "epoch": 2, "step_of_epoch": 2, "components": ("randomness",), "batch": 5}


def test_a_run_that_went_on_longer_is_said_to_be_equal_until_then(tmp_path: Path) -> None:
    lines = compared(tmp_path, steps=STEPS[:5], losses=(0.5,), weights=None)
    assert lines[:2] == [
        "equal for 5 steps, where one ends; the other has 10",
        "  history: one ends before epoch 2, train",
    ]


def test_equal_steps_with_other_final_weights_are_not_identical(tmp_path: Path) -> None:
    assert compared(tmp_path, weights=b"others")[0] == "equal for all 10 steps, but the final weights differ"


def test_equal_steps_with_another_validation_are_not_identical(tmp_path: Path) -> None:
    lines = compared(tmp_path, losses=(0.5, 0.125))
    assert lines[0] == "equal for all 10 steps, but the histories differ"


def test_runs_without_fingerprints_are_told_by_histories_and_weights(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a", steps=[]), make_run(tmp_path / "b", steps=[])
    assert compare_runs(a, b).lines() == ["identical (histories, final weights equal)"]
    c = make_run(tmp_path / "c", losses=(0.75,))
    assert compare_runs(a, c).headline() == "no steps to compare, but the histories differ"


def test_a_run_that_has_nothing_yet_is_named(tmp_path: Path) -> None:
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", steps=[], losses=(), weights=None)
    with pytest.raises(UserError, match=r"b: there is nothing to compare yet"):
        compare_runs(a, b)
