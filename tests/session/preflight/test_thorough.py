"""Whether a run will end well is known before it begins, and nothing but the answer is left of the question."""

import json
from collections.abc import Callable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import ExperimentArgs, MachineConfig, RunOptions, UserError
from labwright.loop import Hook
from labwright.metrics import Metric
from labwright.session import Preflight
from tests.points import Points
from tests.session.preflight.experiments import (
    Counting,
    Drawing,
    Exploding,
    Forgetful,
    Unsaveable,
    Wordless,
    check_of,
    fill_disk,
)
from tests.session.test_resume import HARD, assert_same_run

Make = Callable[..., Any]
Tree = Callable[[Path], Mapping[str, bytes]]


def statuses(report: Preflight) -> dict[str, str]:
    return {check.name: check.status for check in report.checks if check.status != "ok"}


@pytest.mark.slow
@pytest.mark.usefixtures("with_pictures")
def test_everything_is_tried_and_nothing_is_left(make: Make, tmp_path: Path, tree: Tree) -> None:
    experiment = make(**HARD)
    before = dict(vars(experiment))
    report = experiment.preflight(RunOptions(use_tensorboard=True, use_wandb=True))
    assert [check.name for check in report.checks] == [
        "build",
        "train on train",
        "gradients",
        "evaluate val",
        "evaluate test",
        "best metric",
        "save",
        "resume",
        "model",
        "predictions",
        "plots",
        "trackers",
        "W&B",
        "TensorBoard",
        "schedule",
        "disk",
    ]
    assert statuses(report) == {"W&B": "warning", "best metric": "warning"}
    assert report.ends_well and report.text().splitlines()[-1] == "this run will end well"
    assert not list(tmp_path.iterdir())
    assert vars(experiment) == before


def test_estimates_count_what_is_kept(make: Make) -> None:
    few = make(epochs=2).preflight(RunOptions(keep_checkpoints=1)).estimate
    many = make(epochs=2).preflight(RunOptions(keep_checkpoints=11)).estimate
    assert few is not None and many is not None and few.checkpoint_bytes is not None
    assert few.disk_bytes is not None and many.disk_bytes is not None
    assert many.disk_bytes - few.disk_bytes == 10 * few.checkpoint_bytes
    assert few.seconds is not None and few.seconds > 0


def test_longer_training_is_estimated_to_take_longer(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = count()
    monkeypatch.setattr("time.perf_counter", lambda: next(looks) / 1000)
    short, long = (make(epochs=epochs).preflight().estimate.seconds for epochs in (2, 2000))
    assert long > 50 * short


@pytest.mark.parametrize("kind", [Points, Drawing])
def test_run_after_it_is_the_run_without_it(make: Make, kind: Any) -> None:
    tried = make(kind, **HARD)
    tried.preflight()
    assert_same_run(
        tried.run(RunOptions(predictions="none")).run_dir,
        make(kind, **HARD).run(RunOptions(predictions="none")).run_dir,
    )


def test_no_hook_and_no_event_hears_of_it(make: Make) -> None:
    heard: list[str] = []

    class Listening(Points):
        def build_hooks(self) -> list[Hook[Any]]:
            return [hook]

        def on_experiment_start(self) -> None:
            heard.append("experiment")

        def on_epoch_start(self) -> None:
            heard.append("epoch")

    class Loud(Hook[Any]):
        def on_batch_start(self, loop: Any) -> None:
            heard.append("batch")

    hook = Loud()
    assert make(Listening).preflight().ends_well
    assert not heard


def test_what_an_event_would_set_up_is_not_tried_rather_than_failed(make: Make) -> None:
    class Prepared(Points):
        def on_epoch_start(self) -> None:
            self.factor = 1.0

        def compute_loss(self, batch: Any) -> Any:
            return super().compute_loss(batch)._replace(value=super().compute_loss(batch).value * self.factor)

    report = make(Prepared).preflight()
    check = check_of(report, "train on train")
    assert check.status == "not tried" and "on_epoch_start is not called here" in check.note
    assert report.verdict == "this run will end well, as far as it was tried"


def test_generator_that_no_checkpoint_knows_of_is_found(make: Make) -> None:
    check = check_of(make(Forgetful).preflight(), "resume")
    assert check.status == "warning" and "this run will not resume exactly" in check.note


def test_count_that_a_model_keeps_to_itself_is_found(make: Make) -> None:
    assert "will not resume exactly: model." in check_of(make(Counting).preflight(), "resume").note


def test_data_in_another_order_is_told_from_other_weights(make: Make) -> None:
    class Shuffled(Points):
        def build_loader(self, dataset: Any, name: str, *, training: bool) -> Any:
            generator = torch.Generator().manual_seed(0)
            samples = [dataset[position] for position in range(len(dataset))]
            return torch.utils.data.DataLoader(samples, 20, shuffle=training, generator=generator)  # pyright: ignore[reportArgumentType]

    assert "batches.0" in check_of(make(Shuffled).preflight(), "resume").note


def test_loss_that_is_no_number_is_a_failure(make: Make) -> None:
    report = make(Exploding).preflight()
    assert not report.ends_well
    assert report.verdict.startswith("this run will not end well: train on train: NonFiniteLoss: ")


def test_state_without_a_form_is_a_failure(make: Make) -> None:
    report = make(Unsaveable).preflight()
    [problem] = report.problems
    assert problem.startswith("save: a checkpoint cannot hold generator: a Random cannot be saved in a checkpoint; ")


def test_threshold_that_cannot_be_chosen_is_a_failure(make: Make) -> None:
    class Silent(Points):
        def predict_batch(self, batch: Any) -> Any:
            return {}

    good, bad = (make(kind, threshold_metric="f1").preflight() for kind in (Points, Silent))
    assert check_of(good, "threshold").status == "ok"
    assert check_of(bad, "threshold").note.startswith("--threshold_metric needs target and probability")


def test_patience_that_cannot_run_out_is_told(make: Make) -> None:
    check = check_of(make(epochs=3, early_stopping_patience=5).preflight(), "best metric")
    assert (check.status, check.note) == ("warning", "early stopping waits 5 epochs, and there are 3")


@pytest.mark.parametrize(
    ("environment", "note"),
    [
        ({"WANDB_MODE": "offline"}, "records offline"),
        ({"WANDB_API_KEY": "0" * 40}, "there is a key"),
        ({"NETRC": "netrc"}, "there is a key"),
        ({"NETRC": "missing"}, "there is no key"),
    ],
)
def test_tracker_is_asked_for_its_key_and_not_started(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], note: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "netrc").write_text("machine api.wandb.ai login user password 1234\n")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    report = make().preflight(RunOptions(use_wandb=True))
    assert check_of(report, "W&B").note.startswith(note)
    assert report.ends_well and [path.name for path in tmp_path.iterdir()] == ["netrc"]


def test_metric_that_fails_is_a_failure_of_its_set(make: Make) -> None:
    class Broken(Metric):
        name, higher_is_better = "broken", True

        def update(self, outputs: Any, batch: Any, weight: float) -> None:
            raise KeyError("nothing")

        def compute(self) -> float:
            return 0.0

    class Measured(Points):
        def build_metrics(self) -> list[Metric]:
            return [Broken()]

    assert "evaluate val: KeyError: 'nothing'" in make(Measured).preflight().problems


def test_full_disk_is_foreseen(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    fill_disk(monkeypatch)
    [problem] = make().preflight().problems
    assert problem.startswith("disk: it needs ") and "100 B are free" in problem


def test_experiment_of_its_own_kind_is_tried_as_far_as_that_goes(tmp_path: Path) -> None:
    report = Wordless(ExperimentArgs(), MachineConfig(results_dir=tmp_path)).preflight()
    assert statuses(report) == {"batches": "not tried"}
    assert check_of(report, "resume").note == "the state that was saved comes back"
    assert report.estimate is not None and report.estimate.seconds is None


@pytest.mark.parametrize("mode", ["test", "predict"])
def test_only_what_the_mode_does_is_tried(make: Make, mode: Any) -> None:
    run = make().run(RunOptions(predictions="none")).run_dir
    report = make(from_checkpoint=str(run)).preflight(RunOptions(mode=mode))
    names = {check.name for check in report.checks}
    assert report.ends_well
    assert {"predictions", "plots"} <= names and not names & {"train on train", "save", "resume", "schedule"}
    assert ("evaluate test" in names) == (mode == "test")


def test_answer_is_json(make: Make) -> None:
    answer = json.loads(json.dumps(make().preflight().to_json()))
    assert answer["ends_well"] is True and answer["estimate"]["free_bytes"] > 0
    assert {"name", "status", "note", "seconds"} == answer["checks"][0].keys()


def test_taking_up_a_run_is_not_tried(make: Make) -> None:
    with pytest.raises(UserError, match="leave --resume out"):
        make().preflight(RunOptions(resume="last"))


def test_run_does_not_take_it_for_a_run(make: Make) -> None:
    with pytest.raises(UserError, match="preflight"):
        make().run(RunOptions(preflight=True))
