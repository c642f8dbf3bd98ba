"""What was seen to break in the experiment template that labwright follows: it does not break here."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from pydantic import Field

from labwright import Experiment
from labwright.args import Args, ExperimentArgs, MachineConfig, RunOptions, UserError, parse
from labwright.args.wording import MASK
from labwright.datasets import DigitsDataArgs, Splits
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs
from labwright.runs import open_run
from labwright.schedulers import ConstantArgs, StepArgs
from labwright.trackers import RunInfo, Tracker
from labwright.train import restore_state

from ..repositories import forget_settings, git, new_repository
from ..session.test_resume import assert_same_run, resume, stop_at

ROOT = Path(__file__).parents[2]
DIGITS = ("--experiment_id=digits", "--epochs=1", "--limit_train_samples=40")

pytestmark = pytest.mark.usefixtures("no_pictures")


class SmallArgs(ExperimentArgs):
    """Digits, as little of them as will do."""

    epochs: int = 1
    limit_train_samples: int | None = 40
    model: MLPArgs = MLPArgs(hidden_sizes=[8])
    dataset: DigitsDataArgs = DigitsDataArgs()
    optimizer: AdamArgs = AdamArgs()
    scheduler: ConstantArgs = ConstantArgs()

    def build(self, machine: MachineConfig) -> "Experiment[SmallArgs]":
        return Experiment(self, machine)


@pytest.fixture
def machine(tmp_path: Path) -> MachineConfig:
    return MachineConfig(results_dir=tmp_path / "results", use_cuda=False)


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


def test_help_of_an_experiment_shows_that_experiments_flags(command_line: Callable[..., Any]) -> None:
    """`--experiment_id=mnist --help` printed only the base flags."""
    ended = command_line("--experiment_id=mnist", "--help")
    assert ended.code == 0
    for flag in ("--hidden_sizes", "--activation", "--learning_rate", "--dataset.source", "--val_fraction", "--epochs"):
        assert flag in ended.out


@pytest.mark.parametrize("words", [["--epochs=1"], ["--experiment_id=mnits"], ["--experiment_id="]])
def test_missing_or_unknown_id_is_one_clear_line(command_line: Callable[..., Any], words: list[str]) -> None:
    """It was an AssertionError."""
    error = command_line(*words).error
    assert "--experiment_id" in error and "mnist" in error


def test_missing_required_flag_is_one_clear_line(command_line: Callable[..., Any]) -> None:
    """It was a traceback."""

    class ScanArgs(SmallArgs):
        patient: int = Field(description="Whose scan it is.")

    error = command_line(experiments=ScanArgs).error
    assert "--patient is required" in error and "Whose scan it is" in error


class Inner(Args):
    size: int = 1


class KindsArgs(Args):
    """One field of each type that was refused or misread."""

    optional: int | None = 3
    integers: list[int] = [1]
    pair: tuple[int, float] = (1, 0.5)
    weights: dict[str, float] = {}
    either: int | Literal["auto"] = 0
    inner: Inner = Inner()
    literal: Literal[4, 16] = 4
    flag: bool = False


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--optional=5"], {"optional": 5}),
        (["--optional=none"], {"optional": None}),
        (["--optional", "null"], {"optional": None}),
        (["--integers=[1, 2]"], {"integers": [1, 2]}),
        (["--integers=1,2"], {"integers": [1, 2]}),
        (["--integers", "1", "2"], {"integers": [1, 2]}),
        (["--pair=[3, 0.25]"], {"pair": (3, 0.25)}),
        (['--weights={"a": 1}'], {"weights": {"a": 1.0}}),
        (["--weights.a=2"], {"weights": {"a": 2.0}}),
        (["--either=7"], {"either": 7}),
        (["--either=auto"], {"either": "auto"}),
        (["--inner.size=8"], {"inner": Inner(size=8)}),
        (['--inner={"size": 9}'], {"inner": Inner(size=9)}),
        (["--literal=16"], {"literal": 16}),
        (["--flag"], {"flag": True}),
        (["--flag=1"], {"flag": True}),
        (["--no-flag"], {"flag": False}),
        (["--flag=false"], {"flag": False}),
    ],
)
def test_every_type_is_read_as_it_is_meant(words: list[str], expected: dict[str, Any]) -> None:
    """`int | None`, lists, tuples, dicts, unions, nested models, `Literal[4, 16]`, bare flags, `=1` and `none` were
    refused or misread."""
    assert parse(KindsArgs, words).model_dump() == KindsArgs(**expected).model_dump()


def test_literal_of_numbers_refuses_others(capsys: pytest.CaptureFixture[str]) -> None:
    """Any number was taken."""
    with pytest.raises(SystemExit):
        parse(KindsArgs, ["--literal=5"])
    assert "4" in capsys.readouterr().err


class TwoModelsArgs(SmallArgs):
    """A student and its teacher."""

    teacher: MLPArgs = MLPArgs(hidden_sizes=[32])


def test_one_experiment_holds_two_models(command_line: Callable[..., Any]) -> None:
    """It could not: their arguments were one flat set."""
    ended = command_line(
        "--model.hidden_sizes=[3]", "--teacher.hidden_sizes=[5]", "--print_config", experiments=TwoModelsArgs
    )
    assert ended.code == 0 and "[3]" in ended.out and "[5]" in ended.out


def test_name_of_two_parts_is_refused_with_both_candidates(command_line: Callable[..., Any]) -> None:
    """A clash was resolved silently, in favour of whichever came last."""
    ended = command_line("--hidden_sizes=[3]", experiments=TwoModelsArgs)
    assert ended.code == 2
    assert "--model.hidden_sizes" in ended.err and "--teacher.hidden_sizes" in ended.err


def test_first_run_writes_a_usable_config_and_goes_on(command_line: Callable[..., Any], tmp_path: Path) -> None:
    """It wrote `PydanticUndefined`, exited 0 and had to be started again."""
    assert command_line(*DIGITS).run
    text = (tmp_path / "config.yaml").read_text()
    assert "Undefined" not in text and "results_dir: results" in text
    assert len(command_line(*DIGITS).runs) == 2


def test_without_a_gpu_the_default_runs_on_the_cpu(
    command_line: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--use_cuda` was true by default, which failed."""
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    assert command_line(*DIGITS).record["device"].startswith("cpu")


def test_checkpoint_of_another_device_loads(machine: MachineConfig) -> None:
    """Checkpoints loaded only on machines with CUDA. Made on a GPU would be the real test; what can be checked
    anywhere is that nothing in the file says where its tensors were."""
    run = Experiment(SmallArgs(), machine).run()
    for path in (run.run_dir / "model.safetensors", run.checkpoints["last"]):
        assert b"cuda" not in path.read_bytes() and b"cpu" not in path.read_bytes()
        again = Experiment(SmallArgs(from_checkpoint=str(path), epochs=0), machine).run()
        assert again.test == run.test


def test_checkpoint_holds_everything_the_next_step_depends_on(machine: MachineConfig) -> None:
    """It held the weights only."""
    experiment = Experiment(SmallArgs(), machine)
    state = restore_state(experiment.run().checkpoints["last"])
    fresh = Experiment(SmallArgs(seed=1), machine)
    fresh.run()
    fresh.model.load_state_dict(state["model"])
    fresh.optimizer.load_state_dict(state["optimizers"]["optimizer"])
    fresh.schedulers["optimizer"].load_state_dict(state["schedulers"]["optimizer"])
    fresh.stepper.load_state_dict(state["stepper"])
    for mine, other in zip(experiment.optimizer.state.values(), fresh.optimizer.state.values(), strict=True):
        assert all(torch.equal(mine[name], other[name]) for name in mine)
    position = state["run"]["position"]
    assert position["epoch"] == 1 and position["step"] == 2
    assert state["rng"].keys() == {"python", "numpy", "torch", "accelerator"}


def test_checkpoint_of_a_run_on_another_device_is_resumed_here(
    make: Callable[..., Any], points: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They loaded only on machines with CUDA. Here the state and the record are made to look as if they came from one:
    the generators of a GPU are in the checkpoint, and its name in the record."""

    class OnGpu(points):
        def device_name(self) -> str:
            return "cuda (a GPU)"

    whole = make().run(RunOptions(predictions="none")).run_dir
    generators = {"kind": "cuda", "states": [torch.zeros(16, dtype=torch.uint8)]}
    with monkeypatch.context() as elsewhere:
        elsewhere.setattr("labwright.train.seeding._accelerator_state", lambda: generators)
        run = stop_at(make(OnGpu), 1)
    result = resume(make(), run)
    assert_same_run(run, whole)
    [warning] = result.warnings
    assert warning.startswith("the run began on cuda (a GPU) and goes on on cpu")


def test_resume_restores_more_than_the_weights_and_from_checkpoint_promises_no_more(
    make: Callable[..., Any], points: Any
) -> None:
    """`from_checkpoint` was all there was to go on with: optimizer, schedule and epoch began anew."""
    fields = {"epochs": 4, "optimizer": AdamArgs(), "scheduler": StepArgs(step_size=1)}
    whole = make(**fields).run(RunOptions(predictions="none"))
    run = stop_at(make(**fields), 6)  # an epoch trains on 2 batches and validates on 1
    anew = make(from_checkpoint=str(run), **{**fields, "epochs": 2}).run(RunOptions(predictions="none"))
    resumed = resume(make(**fields), run)
    assert_same_run(run, whole.run_dir)
    assert (resumed.epochs, anew.epochs) == (4, 2)
    assert anew.val["loss"] != resumed.val["loss"]


@pytest.mark.parametrize(
    ("patience", "losses", "epochs_trained"),
    [
        (1, [3.0, 2.0, 1.0, 0.5], 4),
        (1, [3.0, 2.0, 2.5, 1.0], 3),
        (2, [3.0, 3.5, 2.0, 2.5], 4),
        (2, [3.0, 3.5, 3.5, 2.0], 3),
    ],
)
def test_patience_is_the_number_of_epochs_without_improvement(
    machine: MachineConfig, patience: int, losses: list[float], epochs_trained: int
) -> None:
    """Patience n tolerated n - 1 epochs; patience 1 always stopped after the first epoch."""

    class Scripted(Experiment[SmallArgs]):
        def eval_batch(self, batch: Any) -> Any:
            return super().eval_batch(batch)._replace(value=torch.tensor(losses[self.epoch - 1]))

    result = Scripted(SmallArgs(epochs=4, early_stopping_patience=patience), machine).run()
    assert result.epochs == epochs_trained and result.stopped_early == (epochs_trained < 4)


def test_unknown_metric_is_refused_before_the_first_step(machine: MachineConfig) -> None:
    """It failed after a full epoch."""

    class Untouched(Experiment[SmallArgs]):
        def train_batch(self, batch: Any) -> Any:
            pytest.fail("trained")

    with pytest.raises(UserError, match="'acuracy'.*val/accuracy"):
        Untouched(SmallArgs(best_model_metric="acuracy"), machine).run()
    assert not machine.results_dir.exists()


def test_no_epochs_is_a_valid_run(machine: MachineConfig) -> None:
    """epochs=0 crashed."""
    result = Experiment(SmallArgs(epochs=0), machine).run()
    assert result.test and open_run(result.run_dir).record()["status"] == "finished"


def test_model_without_metrics_is_plotted(machine: MachineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It broke the plot."""

    class Bare(Experiment[SmallArgs]):
        def build_metrics(self) -> list[Any]:
            return []

    monkeypatch.undo()  # draws
    result = Bare(SmallArgs(), machine).run()
    assert result.test.keys() == {"loss"}
    assert (result.run_dir / "history.png").stat().st_size > 1000


def test_epoch_metrics_are_weighted_by_samples(machine: MachineConfig) -> None:
    """They were means over batches, so the short last one counted too much."""
    results = [Experiment(SmallArgs(epochs=0, batch_size=size), machine).run() for size in (350, 1000)]
    assert results[0].test["accuracy"] == results[1].test["accuracy"]
    assert results[0].test["loss"] == pytest.approx(results[1].test["loss"], rel=1e-6)


def test_only_the_training_set_is_shuffled(machine: MachineConfig) -> None:
    """All splits were."""
    seen: dict[str, list[int]] = {}

    class Watched(Experiment[SmallArgs]):
        def build_loader(self, dataset: Any, name: str, *, training: bool) -> Any:
            loader = super().build_loader(dataset, name, training=training)
            seen[name] = [index for batch in loader for index in batch["index"].tolist()]
            return loader

    Watched(SmallArgs(), machine).run()
    assert seen["train"] != sorted(seen["train"]) == list(range(40))
    assert seen["val"] == sorted(seen["val"]) and seen["test"] == sorted(seen["test"])


def test_seeding_comes_before_the_data_is_built(machine: MachineConfig) -> None:
    """It came after, so a random split differed from run to run."""
    drawn: list[float] = []

    class Watched(Experiment[SmallArgs]):
        def build_datasets(self) -> Splits:
            drawn.append(torch.rand(()).item())
            return super().build_datasets()

    for seed in (3, 3, 4):
        Watched(SmallArgs(seed=seed), machine).run()
    assert drawn[0] == drawn[1] != drawn[2]


def test_history_is_written_epoch_by_epoch_and_survives_ctrl_c(machine: MachineConfig) -> None:
    """history.json held every batch and was written only at the end; Ctrl-C lost everything."""

    class Interrupted(Experiment[SmallArgs]):
        def on_epoch_end(self) -> None:
            self.path = self.run_directory.path
            assert [row["epoch"] for row in history(self.path)] == [1, 1, 2, 2][: 2 * self.epoch]
            if self.epoch == 2:
                raise KeyboardInterrupt

    experiment = Interrupted(SmallArgs(epochs=5), machine)
    with pytest.raises(KeyboardInterrupt):
        experiment.run()
    assert len(history(experiment.path)) == 4
    assert open_run(experiment.path).record()["status"] == "interrupted"


def test_run_that_ctrl_c_stopped_goes_on_to_its_last_epoch(make: Callable[..., Any]) -> None:
    run = stop_at(make(epochs=4), 7, signal.SIGINT)  # an epoch trains on 2 batches and validates on 1
    assert {row["epoch"] for row in history(run)} == {1, 2}
    assert open_run(run).record()["status"] == "interrupted"
    assert resume(make(epochs=4), run).epochs == 4
    assert [row["epoch"] for row in history(run) if row["split"] == "train"] == [1, 2, 3, 4]
    assert open_run(run).record()["status"] == "finished"


def test_resumed_run_is_the_same_run_in_its_tracker(make: Callable[..., Any], points: Any) -> None:
    """Each start was a run of its own in W&B; W&B itself: tests/trackers/test_wandb.py."""
    started: list[RunInfo] = []
    epochs: list[int] = []

    class Ear(Tracker):
        name = "ear"

        def start(self, run: RunInfo) -> None:
            started.append(run)

        def state(self) -> dict[str, Any]:
            return {"id": (started[-1].resumed or {"id": "made at the first start"})["id"]}

        def log_epoch(self, epoch: int, step: int, metrics: Any) -> None:
            epochs.append(epoch)

    class Tracked(points):
        def build_trackers(self, options: Any, warn: Any) -> list[Tracker]:
            return [Ear()]

    run = stop_at(make(Tracked, epochs=3), 5)
    resume(make(Tracked, epochs=3), run)
    first, second = started
    assert first.resumed is None and second.resumed == {"id": "made at the first start"}
    assert first.run_dir == second.run_dir == run
    assert (second.resumed_epoch, second.resumed_step) == (1, 4)
    assert epochs == [1, 2, 3, 3]  # the last are the test metrics, of the best epoch
    assert open_run(run).record()["trackers"] == {"ear": {"id": "made at the first start"}}


@pytest.mark.slow
def test_wandb_is_imported_only_when_asked_for(tmp_path: Path) -> None:
    """It was imported always."""
    code = (
        "import sys\nfrom labwright.cli import main\nfrom lab.registry import EXPERIMENTS\n"
        f"try:\n    main(EXPERIMENTS, argv={[*DIGITS, '--quiet']!r})\n"
        "except SystemExit as ended:\n    print(ended.code, 'wandb' in sys.modules, 'tensorboard' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    shown = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
    )
    assert shown.stdout.split() == ["0", "False", "False"]


@pytest.mark.parametrize("noise", ["white_noise_sd", "constant_offset_sd"])
def test_noise_options_change_training(machine: MachineConfig, noise: str) -> None:
    """They crashed."""
    runs = [Experiment(SmallArgs(**fields), machine).run().run_dir for fields in ({}, {noise: 0.3})]
    assert len({(run / "model.safetensors").read_bytes() for run in runs}) == 2


def test_predict_on_train_writes_predictions(machine: MachineConfig) -> None:
    """The flag was never read."""
    run = Experiment(SmallArgs(), machine).run(RunOptions(predict_on_train=True)).run_dir
    assert len((run / "predictions" / "train.csv").read_text().splitlines()) == 41


def test_two_runs_in_one_second_have_a_directory_each(machine: MachineConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    """They shared one."""
    monkeypatch.setattr("time.strftime", lambda *args: "2001-02-03_04-05-06")
    runs = {Experiment(SmallArgs(epochs=0), machine).run().run_dir for _ in range(3)}
    assert len(runs) == 3 and all(run.name.startswith("2001-02-03_04-05-06_") for run in runs)


def test_key_of_the_tracker_is_in_no_record(command_line: Callable[..., Any], tmp_path: Path) -> None:
    """The W&B key had leaked into config.json and into W&B."""
    (tmp_path / "config.yaml").write_text("wandb_api_key: 0123456789abcdef\n")
    run = command_line(*DIGITS).run
    assert not [path for path in run.rglob("*") if path.is_file() and b"0123456789abcdef" in path.read_bytes()]


def test_key_of_the_tracker_is_in_no_record_of_a_resumed_run_nor_in_its_notes_and_code(
    command_line: Callable[..., Any], points_args: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It had leaked into config.json. Here there are also flags and sources, notes, and the snapshot of the code."""
    keys = [f"{place}0123456789abcdef" for place in ("flag", "file", "variable", "dotenv", "preset")]
    forget_settings(monkeypatch, tmp_path)
    new_repository(tmp_path, {"run.py": ""})
    (tmp_path / "config.yaml").write_text(f"wandb_api_key: {keys[1]}\n")
    (tmp_path / ".env").write_text(f"WANDB_API_KEY={keys[3]}\n")
    (tmp_path / "preset.yaml").write_text("epochs: 1\n")
    (tmp_path / "with_key.yaml").write_text(f"wandb_api_key: {keys[4]}\n")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "run.py")])
    monkeypatch.setenv("WANDB_API_KEY", keys[2])
    words = (f"--wandb_api_key={keys[0]}", "--use_cuda=false")
    presets = ("--config=preset.yaml", "--config=with_key.yaml")
    first = command_line(*words, *presets, f"--run_name=try-{keys[0]}", experiments=points_args)
    assert first.code == 0, first.err
    for command in ("note", "tag"):
        assert command_line(command, "last", f"with-{keys[1]}", f"and-{keys[2]}").code == 0
    resumed = command_line("resume", first.run.name, "--epochs=2", *words, experiments=points_args)
    assert resumed.code == 0 and resumed.record["resumes"][0]["changed"] == {"epochs": [1, 2]}, resumed.err
    objects = os.fsencode(git(tmp_path, "cat-file", "--batch-all-objects", "--batch"))
    files = [path.read_bytes() for path in first.run.rglob("*") if path.is_file()]
    assert resumed.record["git"]["snapshot"].encode() in objects and b"epochs: 1" in objects
    assert json.loads((first.run / "notes.json").read_bytes())["note"] == f"with-{MASK} and-{MASK}"
    for key in keys:
        assert not [content for content in [*files, objects] if key.encode() in content]


def test_splits_that_are_the_same_data_are_refused(machine: MachineConfig) -> None:
    """A dataset's get_split changed and returned itself: train, val and test were one, and nothing noticed."""

    class Careless(Experiment[SmallArgs]):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            everything = splits.train["train"]
            return replace(splits, val={"val": everything}, test={"test": everything})

    with pytest.raises(UserError, match="train and val are the same dataset"):
        Careless(SmallArgs(), machine).run()
