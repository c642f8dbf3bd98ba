"""A few of everything that may happen to a run. `tests/chaos/long.py` does more of the same."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from tests.chaos import scenarios
from tests.chaos.harness import EXPERIMENTS, Lab, Trial
from tests.chaos.inject import Loss, Mode
from tests.chaos.scenarios import Reference

pytestmark = pytest.mark.kill
SEED = 4


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with Lab(tmp_path_factory.mktemp("chaos")) as lab:
        yield lab


@pytest.fixture(scope="module")
def references(lab: Lab) -> dict[str, Reference]:
    return scenarios.references(lab)


@pytest.fixture(scope="module")
def mlp(references: dict[str, Reference]) -> Reference:
    return references["mlp"]


@pytest.fixture(scope="module")
def cnn(references: dict[str, Reference]) -> Reference:
    return references["cnn"]


@pytest.fixture
def chance(request: pytest.FixtureRequest) -> random.Random:
    return random.Random(f"{SEED} {request.node.name}")


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_killed_at_random_times_it_ends_as_if_nothing_had_happened(
    lab: Lab, references: dict[str, Reference], experiment: str, chance: random.Random
) -> None:
    scenarios.kill_at_random_times(lab.trial(experiment), references[experiment], chance, num_kills=4)


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_killed_in_random_places_it_ends_as_if_nothing_had_happened(
    lab: Lab, references: dict[str, Reference], experiment: str, chance: random.Random
) -> None:
    scenarios.kill_at_random_places(lab.trial(experiment), references[experiment], chance, num_kills=4)


@pytest.mark.parametrize("mode", ["kill", "after", "torn"])
def test_killed_at_file_operations_it_ends_as_if_nothing_had_happened(
    lab: Lab, mlp: Reference, mode: Mode, chance: random.Random
) -> None:
    scenarios.kill_at_random_operations(lab.trial("mlp"), mlp, chance, num_kills=4, modes=[mode])


def test_a_fresh_process_that_is_killed_resumes_in_another(lab: Lab, mlp: Reference, chance: random.Random) -> None:
    scenarios.kill_fresh_process(lab.trial("mlp"), mlp, chance)


def test_killed_anywhere_in_the_exchange_of_a_checkpoint_it_ends_as_if_nothing_had_happened(
    lab: Lab, mlp: Reference
) -> None:
    last_unlink = max(at for at, what in enumerate(mlp.operations, start=1) if what.startswith("unlink"))
    for at in range(last_unlink - 12, last_unlink + 2, 2):
        scenarios.hit_operation(lab.trial("mlp"), mlp, mode="kill", at=at)


@pytest.mark.parametrize("loss", get_args(Loss))
def test_a_power_loss_costs_no_more_than_a_kill(lab: Lab, mlp: Reference, loss: Loss, chance: random.Random) -> None:
    for hit in (scenarios.hit_operation, scenarios.hit_operation_of_resume):
        at = chance.randint(1, len(mlp.operations) // 2)
        hit(lab.trial("mlp"), mlp, mode="power", at=at, loss=loss, seed=chance.randrange(2**32))


@pytest.mark.parametrize("mode", ["full", "broken"])
def test_a_disk_that_fails_is_named_and_spoils_nothing(
    lab: Lab, mlp: Reference, mode: Mode, chance: random.Random
) -> None:
    for third in range(3):
        at = chance.randint(1, len(mlp.operations) // 3) + third * len(mlp.operations) // 3
        scenarios.fail_from_operation(lab.trial("mlp"), mlp, mode=mode, at=at)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("SIGTERM", "training:20"),
        ("SIGTERM", "validation:4"),
        ("SIGTERM", "saving:5"),
        ("SIGTERM", "testing:2"),
        ("SIGTERM", "plotting:1"),
        ("SIGINT", "training:41"),
        ("SIGUSR1", "training:2"),
    ],
)
def test_a_signal_to_stop_loses_no_step(lab: Lab, mlp: Reference, name: str, place: str) -> None:
    scenarios.stop_by_signal(lab.trial("mlp"), mlp, name, place)


@pytest.mark.parametrize("name", scenarios.EXIT_CODES)
def test_a_signal_at_start_up_leaves_nothing_half_made(lab: Lab, mlp: Reference, name: str) -> None:
    scenarios.stop_before_anything(lab.trial("mlp"), mlp, name)


@pytest.mark.parametrize("second", ["training:10", "saving:2"])
def test_a_second_interrupt_corrupts_nothing(lab: Lab, mlp: Reference, second: str) -> None:
    scenarios.interrupt_twice(lab.trial("mlp"), mlp, "training:10", second)


def test_a_signal_to_the_whole_group_leaves_the_workers_to_the_run(lab: Lab, cnn: Reference) -> None:
    scenarios.stop_group(lab.trial("cnn"), cnn, signal.SIGINT)


def test_a_killed_worker_is_named(lab: Lab, cnn: Reference) -> None:
    scenarios.kill_worker(lab.trial("cnn"), cnn)


def test_workers_do_not_outlive_their_run(lab: Lab, cnn: Reference) -> None:
    scenarios.kill_above_workers(lab.trial("cnn"), cnn)


def test_of_two_resumes_at_once_one_trains(lab: Lab, mlp: Reference) -> None:
    scenarios.resume_twice_at_once(lab.trial("mlp"), mlp)


def test_of_three_that_race_one_trains(lab: Lab, mlp: Reference) -> None:
    scenarios.race_to_resume(lab.trial("mlp"), mlp)


def test_eight_starts_in_a_second_make_eight_runs(lab: Lab) -> None:
    scenarios.start_at_once(lab)


def test_a_moved_run_goes_on_where_it_is(lab: Lab, mlp: Reference) -> None:
    scenarios.move_and_resume(lab.trial("mlp"), mlp)


@pytest.mark.parametrize("text", scenarios.HOSTILE, ids=lambda text: repr(text[:20]))
def test_what_is_no_run_is_refused_in_one_line(lab: Lab, text: str) -> None:
    scenarios.resume_hostile(lab.trial("mlp"), text)


def test_a_finished_run_is_not_touched_by_a_resume(lab: Lab, mlp: Reference) -> None:
    scenarios.resume_finished(lab.trial("mlp"), mlp)


@pytest.fixture(scope="module")
def interrupted(lab: Lab, mlp: Reference) -> Trial:
    """A run that was killed in the middle."""
    trial = lab.trial("mlp")
    scenarios.kill_in_the_middle(trial, mlp)
    return trial


@pytest.mark.parametrize("name", scenarios.damages(Path()))
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_taken(
    interrupted: Trial, mlp: Reference, name: str
) -> None:
    scenarios.damage_newest(scenarios.copy_of(interrupted), mlp, name)


@pytest.mark.parametrize("name", ["truncated", "missing", "a zipped pickle with its checksum"])
def test_without_a_valid_checkpoint_one_line_says_so(interrupted: Trial, name: str) -> None:
    scenarios.damage_all(scenarios.copy_of(interrupted), name)
