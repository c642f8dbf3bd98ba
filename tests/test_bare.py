"""What every experiment has, whatever it computes with."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from labwright import BareExperiment
from labwright.args import ExperimentArgs, MachineConfig, RunOptions, UserError
from labwright.datasets import Splits
from labwright.runs import open_run

pytestmark = pytest.mark.usefixtures("no_pictures")


class Scored(BareExperiment[ExperimentArgs]):
    """Each epoch scores what the list says; nothing is kept of it."""

    scores = (0.5, 1.0, 0.7)

    def build_datasets(self) -> Splits:
        return Splits(train={"train": [1, 2]}, val={"val": [3]}, test={"test": [4], "test2": [5]}, name="scores")

    def metric_directions(self) -> dict[str, bool]:
        return {"accuracy": True}

    def run_dataset(self) -> None:
        self.dataset_metrics["accuracy"] = np.float32(self.scores[self.epoch - 1])


def run(kind: type[BareExperiment[Any]], folder: Path, options: RunOptions | None = None, **fields: Any) -> Any:
    args = ExperimentArgs(experiment_id="scored", **{"epochs": 3, "best_model_metric": "accuracy", **fields})
    experiment = kind(args, MachineConfig(results_dir=folder))
    experiment.run(options)
    return experiment


def test_metrics_of_any_library_are_recorded_as_numbers(tmp_path: Path) -> None:
    experiment = run(Scored, tmp_path)
    assert [row["metrics"] for row in experiment.recorder.history.rows][:2] == [{"accuracy": 0.5}] * 2
    assert experiment.result.best_epoch == 2


def test_best_epoch_of_which_nothing_was_kept_is_not_what_is_tested(tmp_path: Path) -> None:
    result = run(Scored, tmp_path).result
    assert result.best_epoch == 2 and result.weights_epoch == 3
    assert result.val == {"accuracy": pytest.approx(0.7)} and result.test["accuracy"] == pytest.approx(0.7)


def test_early_stopping_needs_no_framework(tmp_path: Path) -> None:
    class Falling(Scored):
        scores = (0.9, 0.8, 0.7, 0.6)

    result = run(Falling, tmp_path, epochs=4, early_stopping_patience=2).result
    assert result.stopped_early and result.epochs == 3


def test_deciding_metric_that_is_never_measured_is_named(tmp_path: Path) -> None:
    class Unmeasured(Scored):
        def metric_directions(self) -> dict[str, bool]:
            return {"loss": False}

    with pytest.raises(UserError, match=r"val/loss is not among what val came to \(accuracy\)"):
        run(Unmeasured, tmp_path, best_model_metric="loss")


def test_stop_in_a_test_set_leaves_the_next_out(tmp_path: Path) -> None:
    class Stopping(Scored):
        def on_dataset_end(self) -> None:
            if self.dataset_name == "test":
                self.stop("epoch")

    experiment = run(Stopping, tmp_path)
    assert experiment.test_metrics.keys() == {"test"} and not experiment.is_stopped("experiment")


def test_refused_run_takes_nothing_from_the_last_one(tmp_path: Path) -> None:
    experiment = run(Scored, tmp_path)
    first = experiment.result.run_dir
    with pytest.raises(UserError, match="--mode=test"):
        experiment.run(RunOptions(mode="test"))
    with pytest.raises(UserError, match="was not run, or its last run was refused"):
        _ = experiment.result
    assert open_run(first).record()["result"]["epochs"] == 3


@pytest.mark.parametrize("option", ["detect_anomaly", "batch_histograms", "probabilities"])
def test_option_of_another_kind_of_experiment_is_refused_before_anything_is_written(
    tmp_path: Path, option: str
) -> None:
    with pytest.raises(UserError, match=f"--{option}: scored does not use it"):
        run(Scored, tmp_path, RunOptions(**{option: True}))
    assert not list(tmp_path.iterdir())


def test_best_few_need_a_set_to_decide_by(tmp_path: Path) -> None:
    class Undecided(Scored):
        def build_datasets(self) -> Splits:
            return Splits(train={"train": [1]}, name="scores")

    with pytest.raises(UserError, match="--keep_best needs a validation set"):
        run(Undecided, tmp_path, RunOptions(keep_best=2))
