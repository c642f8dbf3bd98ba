"""Whether a run will end well is known before it begins, and nothing but the answer is left of the question."""

import io
import json
import multiprocessing
import random
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from labwright.args import ExperimentArgs, MachineConfig, RunOptions, UserError
from labwright.bare import BareExperiment
from labwright.datasets import Splits
from labwright.loop import Hook
from labwright.metrics import Metric
from labwright.optimizers import AdamArgs
from labwright.runs.terminal import Terminal
from labwright.schedulers import CosineArgs
from labwright.session import Preflight
from labwright.session.preflight import Check, WillFail
from tests.points import Points
from tests.session.test_resume import HARD, assert_same_run

Make = Callable[..., Any]
Tree = Callable[[Path], Mapping[str, bytes]]


class Forgetful(Points):
    """Scales its inputs by a generator of its own, which no checkpoint knows of."""

    def build_parts(self) -> None:
        super().build_parts()
        self.generator = torch.Generator().manual_seed(1)

    def prepare_batch(self, batch: Any, *, training: bool) -> Any:
        if training:
            batch = {**batch, "input": batch["input"] * torch.rand((), generator=self.generator)}
        return super().prepare_batch(batch, training=training)


class Drawing(Points):
    """Adds noise of generators that it was made with, and that nothing makes anew."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.generators = [np.random.default_rng(1), random.Random(1), torch.Generator().manual_seed(1)]
        self.noise, self.drift = torch.zeros(2), np.zeros(2)

    def prepare_batch(self, batch: Any, *, training: bool) -> Any:
        batch = super().prepare_batch(batch, training=training)
        if not training:
            return batch
        numpy, python, generator = self.generators
        self.noise += torch.rand(2, generator=generator) + python.random()
        self.drift += numpy.random(2)
        return {**batch, "input": batch["input"] + self.noise + torch.from_numpy(self.drift).float()}


class Counting(Points):
    """Its model counts its calls, outside of any state, and does less with each."""

    def build_model(self) -> nn.Module:
        class Tiring(nn.Linear):
            calls = 0

            def forward(self, input: torch.Tensor) -> torch.Tensor:
                self.calls += 1
                return super().forward(input) / self.calls

        return Tiring(2, 2)


class Exploding(Points):
    def compute_loss(self, batch: Any) -> Any:
        loss = super().compute_loss(batch)
        return loss._replace(value=loss.value * float("inf"))


class Unsaveable(Points):
    def state_dict(self) -> dict[str, Any]:
        return super().state_dict() | {"generator": random.Random(0)}


class Wordless(BareExperiment[ExperimentArgs]):
    """Counts batches, in a way of its own."""

    def build_datasets(self) -> Splits:
        return Splits(train={"train": [{"input": 1}]}, val={"val": [{"input": 2}]}, test={}, name="one")

    def state_dict(self) -> dict[str, Any]:
        return {"count": np.arange(3)}


@pytest.fixture
def with_pictures() -> None:
    """For a test that has them drawn."""


@pytest.fixture(autouse=True)
def _no_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "with_pictures" not in request.fixturenames:
        request.getfixturevalue("no_pictures")
        monkeypatch.setattr("labwright.session.preflight.thorough.plot_history", lambda *_, **__: None)


def check_of(report: Preflight, name: str) -> Check:
    [check] = [check for check in report.checks if check.name == name]
    return check


def statuses(report: Preflight) -> dict[str, str]:
    return {check.name: check.status for check in report.checks if check.status != "ok"}


# -- asked for


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


def test_longer_training_is_estimated_to_take_longer(make: Make) -> None:
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


def test_parameters_that_nothing_reaches_are_named(make: Make) -> None:
    class Idle(Points):
        def build_model(self) -> nn.Module:
            return nn.ModuleDict({"used": nn.Linear(2, 2), "idle": nn.Linear(2, 2)})

        def forward(self, batch: Any) -> Any:
            return self.model.get_submodule("used")(batch["input"])

    check = check_of(make(Idle).preflight(), "gradients")
    assert (check.status, check.note) == ("warning", "no gradient reaches idle.bias, idle.weight")


def test_parameters_without_an_optimizer_are_named(make: Make) -> None:
    class Forgotten(Points):
        def build_optimizer(self) -> Any:
            return torch.optim.SGD([*self.model.parameters()][:-1], lr=0.1)

    assert "no optimizer has" in check_of(make(Forgotten).preflight(), "gradients").note


def test_schedule_is_followed_to_its_end(make: Make) -> None:
    report = make(epochs=10, scheduler=CosineArgs()).preflight()
    note = check_of(report, "schedule").note
    assert note.startswith("learning rate 0.1 at the start, 0.05 in the middle, ")


def test_schedule_that_breaks_is_a_failure(make: Make) -> None:
    class Breaking(Points):
        def build_scheduler(self, optimizer: Any, num_epochs: int, steps_per_epoch: int) -> Any:
            self.scheduler_interval = "step"
            return torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=2)

    report = make(Breaking, epochs=3).preflight()
    assert any("schedule: ValueError: Tried to step" in problem for problem in report.problems)


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


# -- before a long run


@pytest.fixture
def every_run_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.session.preflight.quick.MANY_BATCHES", 0)
    monkeypatch.setattr("labwright.session.preflight.quick.LONG_SECONDS", 0)


def fill_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 0, 100))


def run_told(experiment: Any, **options: Any) -> tuple[Path, str]:
    """The run directory, and what was said on the way."""
    said = io.StringIO()
    result = experiment.run(RunOptions(predictions="none", **options), terminal=Terminal(said))
    return result.run_dir, said.getvalue()


def without(monkeypatch: pytest.MonkeyPatch, experiment: Any) -> Path:
    """The same run with no preflight before it."""
    with monkeypatch.context() as patch:
        patch.setattr("labwright.session.run.quick_preflight", lambda *_: None)
        return experiment.run(RunOptions(predictions="none")).run_dir


@pytest.mark.usefixtures("every_run_is_long")
@pytest.mark.parametrize("kind", [Points, Forgetful, Drawing, Counting])
def test_long_run_is_the_run_without_a_preflight(make: Make, monkeypatch: pytest.MonkeyPatch, kind: Any) -> None:
    fields = HARD if kind is Points else {"batch_size": 8, "optimizer": AdamArgs()}
    run, said = run_told(make(kind, **fields))
    assert "preflight: " in said
    assert_same_run(run, without(monkeypatch, make(kind, **fields)))


@pytest.mark.usefixtures("every_run_is_long")
def test_long_run_says_once_what_it_will_take(make: Make, tmp_path: Path) -> None:
    run, said = run_told(make())
    [line] = [line for line in said.splitlines() if line.startswith("preflight: ")]
    assert line.startswith("preflight: ok; about ") and line.endswith(" free)")
    assert line in (run / "log.txt").read_text().splitlines()
    assert [path for path in tmp_path.rglob(".preflight*")] == []


@pytest.mark.usefixtures("every_run_is_long")
def test_what_the_experiment_counts_is_what_the_run_did(make: Make) -> None:
    class Counted(Points):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.losses: list[float] = []
            self.by_epoch: dict[int, list[int]] = {}

        def train_batch(self, batch: Any) -> Any:
            loss = super().train_batch(batch)
            self.losses.append(float(loss.value))
            self.by_epoch.setdefault(self.epoch, []).append(len(self.losses))
            self.append("losses", self.losses[-1])
            return loss

    experiment = make(Counted, epochs=2, batch_size=20)
    run, said = run_told(experiment)
    assert "preflight: ok" in said
    assert experiment.by_epoch == {1: [1, 2, 3], 2: [4, 5, 6]} and len(experiment.losses) == 6
    assert len((run / "artifacts" / "losses.jsonl").read_text().splitlines()) == 6


@pytest.mark.usefixtures("every_run_is_long")
def test_random_numbers_go_on_as_if_none_had_been_drawn(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Drawn(Points):
        def on_experiment_start(self) -> None:
            self.store("drawn", [torch.rand(()).item(), random.random(), np.random.random()])

    run, _ = run_told(make(Drawn))
    other = without(monkeypatch, make(Drawn))
    assert (run / "artifacts" / "drawn.json").read_text() == (other / "artifacts" / "drawn.json").read_text()


@pytest.mark.usefixtures("every_run_is_long")
@pytest.mark.parametrize(("kind", "times"), [(Points, 1), (Forgetful, 2)])
def test_parts_are_built_twice_only_where_they_do_not_come_back(make: Make, kind: Any, times: int) -> None:
    built: list[nn.Module] = []

    class Watched(kind):
        def build_model(self) -> nn.Module:
            built.append(super().build_model())
            return built[-1]

    run_told(make(Watched))
    assert len(built) == times


@pytest.mark.usefixtures("every_run_is_long")
@pytest.mark.slow
def test_workers_of_a_long_run_begin_anew(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    class Alone(Points):
        def on_experiment_start(self) -> None:
            assert not multiprocessing.active_children()

    def with_workers() -> Any:
        experiment = make(Alone, **HARD)
        experiment.machine = experiment.machine.model_copy(update={"num_workers": 2})
        return experiment

    run, said = run_told(with_workers())
    assert "preflight: ok" in said
    assert_same_run(run, without(monkeypatch, with_workers()))


@pytest.mark.usefixtures("every_run_is_long")
def test_inexact_resume_is_a_warning_only(make: Make) -> None:
    _, said = run_told(make(Forgetful))
    assert "warning: preflight: this run will not resume exactly: " in said


@pytest.mark.usefixtures("every_run_is_long")
def test_failing_step_is_left_to_the_run_to_tell(make: Make) -> None:
    experiment, said = make(Exploding), io.StringIO()
    with pytest.raises(Exception, match="loss is inf"):
        experiment.run(terminal=Terminal(said))
    assert "preflight: not tried to the end: NonFiniteLoss" in said.getvalue()
    assert (experiment.run_directory.path / "artifacts" / "bad_batch.json").is_file()


@pytest.mark.usefixtures("every_run_is_long")
def test_long_run_that_cannot_be_saved_is_refused_before_it_begins(make: Make, tmp_path: Path) -> None:
    with pytest.raises(WillFail, match="no checkpoint of it can be saved: .*generator: a Random"):
        make(Unsaveable).run()
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.usefixtures("every_run_is_long")
def test_long_run_without_room_is_refused_before_it_begins(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill_disk(monkeypatch)
    with pytest.raises(WillFail, match=r"it needs .* of disk, each checkpoint .*, and 100 B are free; free some, or"):
        make().run()
    assert not list(tmp_path.rglob("run.json"))


def test_short_run_says_nothing(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    _, said = run_told(make())
    monkeypatch.setattr("labwright.session.preflight.quick.MANY_BATCHES", 0)
    _, said_of_many = run_told(make())
    assert "preflight" not in said + said_of_many


def test_large_model_is_not_tried_for_a_second(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labwright.session.preflight.quick.MANY_BATCHES", 0)
    monkeypatch.setattr("labwright.session.preflight.quick._MOST_WEIGHTS", 1)
    _, said = run_told(make())
    assert "preflight: not tried, " in said and "--preflight does it" in said
    fill_disk(monkeypatch)
    with pytest.raises(WillFail, match="100 B are free"):
        make().run()
