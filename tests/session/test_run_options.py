"""What options and settings of a run do, beyond training."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from safetensors.torch import load_file

from labwright.args import MachineConfig, RunOptions
from labwright.datasets import Splits

pytestmark = pytest.mark.usefixtures("no_pictures")


def weights(run: Path) -> bytes:
    return (run / "model.safetensors").read_bytes()


def test_predictions_of_the_training_set_on_demand(make: Callable[..., Any]) -> None:
    run = make().run(RunOptions(predict_on_train=True)).run_dir
    indices = [line.split(",")[0] for line in (run / "predictions" / "train.csv").read_text().splitlines()[1:]]
    assert indices == [str(number) for number in range(60)]
    assert not (make().run().run_dir / "predictions" / "train.csv").exists()


def test_histograms_of_each_metric_over_batches_on_demand(make: Callable[..., Any]) -> None:
    result = make(batch_size=10).run(RunOptions(batch_histograms=True))
    drawn = {path.name for path in result.plots}
    assert drawn >= {"histogram_loss.png", "histogram_accuracy.png"}
    assert all((result.run_dir / name).stat().st_size > 1000 for name in drawn)


def test_input_noise_changes_training_and_only_that(make: Callable[..., Any]) -> None:
    runs = [make(**noise).run() for noise in ({}, {"white_noise_sd": 0.5}, {"constant_offset_sd": 0.5})]
    assert len({weights(result.run_dir) for result in runs}) == 3
    untrained = [make(epochs=0, **noise).run().test for noise in ({}, {"white_noise_sd": 9})]
    assert untrained[0] == untrained[1]


def test_clipping_bounds_the_step(make: Callable[..., Any]) -> None:
    def moved(**fields: Any) -> float:
        before = load_file(make(epochs=0).run().run_dir / "model.safetensors")
        after = load_file(make(epochs=1, batch_size=60, **fields).run().run_dir / "model.safetensors")
        return float(sum((after[name] - before[name]).square().sum() for name in after)) ** 0.5

    free, clipped = moved(), moved(gradient_clipping=0.01)
    assert clipped == pytest.approx(0.1 * 0.01, rel=1e-3)
    assert free > 0.01


def test_limit_takes_that_many_training_samples_only(make: Callable[..., Any], points: Any) -> None:
    class Counting(points):
        seen: dict[str, set[int]] = {}

        def prepare_batch(self, batch: Any, *, training: bool) -> Any:
            self.seen.setdefault("train" if training else "other", set()).update(batch["index"].tolist())
            return super().prepare_batch(batch, training=training)

    make(Counting, limit_train_samples=7).run()
    assert Counting.seen["train"] == set(range(7)) and Counting.seen["other"] == set(range(20))


def test_anomaly_detection_names_the_operation(make: Callable[..., Any], points: Any) -> None:
    class Poisoned(points):
        def compute_loss(self, batch: Any) -> Any:
            loss = super().compute_loss(batch)
            return loss._replace(value=loss.value + (loss.value * 0).sqrt())

    with pytest.warns(UserWarning, match="Error detected in MulBackward0"):
        with pytest.raises(RuntimeError, match="MulBackward0"):
            make(Poisoned).run(RunOptions(detect_anomaly=True))


def test_runs_go_below_the_subfolder(make: Callable[..., Any], tmp_path: Path) -> None:
    run = make().run(RunOptions(results_subdir=Path("sweep/a"))).run_dir
    assert run.parent == tmp_path / "results" / "points" / "sweep" / "a"


def test_two_runs_in_one_second_do_not_share_a_directory(make: Callable[..., Any]) -> None:
    runs = {make(epochs=0).run().run_dir for _ in range(4)}
    assert len(runs) == 4


def test_result_is_usable_by_the_next_experiment(make: Callable[..., Any]) -> None:
    teacher = make().run()
    student = make(epochs=0, from_checkpoint=str(teacher.checkpoints["best"])).run()
    assert student.test == teacher.test


def test_nothing_is_said_when_run_from_python(make: Callable[..., Any], capfd: pytest.CaptureFixture[str]) -> None:
    make().run()
    assert capfd.readouterr() == ("", "")


def test_several_validation_and_test_sets_keep_their_names(make: Callable[..., Any], points: Any) -> None:
    class Several(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            data: Any = splits.val["val"]
            other = {"val_hard": data.subset(range(10, 20))}
            return replace(splits, val={"val": data.subset(range(10)), **other}, test={"test_a": splits.test["test"]})

    result = make(Several, best_model_metric="val_hard/accuracy").run()
    assert result.best_metric == "val_hard/accuracy"
    assert result.val.keys() == {"loss", "accuracy", "val_hard/loss", "val_hard/accuracy"}
    assert result.test.keys() == {"test_a/loss", "test_a/accuracy"}
    assert (result.run_dir / "predictions" / "test_a.csv").is_file()


def test_machine_without_a_folder_of_results_gets_one(points: Any, points_args: Any, tmp_path: Path) -> None:
    machine = MachineConfig(results_dir=tmp_path / "not" / "yet" / "there")
    assert points(points_args(), machine).run().run_dir.is_relative_to(machine.results_dir)


def test_a_run_with_sharded_checkpoints_is_told_how_it_goes_on_in_another_way() -> None:
    with pytest.raises(ValidationError, match="to resume a run that began with it, add --no-sharded_checkpoints"):
        RunOptions(strategy="ddp", sharded_checkpoints=True)
