"""train, test, predict, and the debug twin: each leaves a proper run directory."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import RunOptions, UserError
from labwright.session import Launch

pytestmark = pytest.mark.usefixtures("no_pictures")


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text())


def test_test_mode_and_its_short_form_say_the_same(make: Callable[..., Any]) -> None:
    trained = make().run()
    tested = [
        make(from_checkpoint=str(trained.run_dir)).run(options)
        for options in (RunOptions(mode="test"), RunOptions(only_test=True))
    ]
    assert tested[0].test == tested[1].test == trained.test
    assert record(tested[0].run_dir)["options"]["mode"] == "test"


def test_predict_mode_writes_predictions_and_measures_nothing(make: Callable[..., Any]) -> None:
    trained = make().run()
    predicted = make(from_checkpoint=str(trained.run_dir)).run(RunOptions(mode="predict"))
    [path] = predicted.predictions.values()
    assert path == predicted.run_dir / "predictions" / "test.csv"
    assert rows(path) == rows(trained.predictions["test"])
    assert predicted.test == {} and predicted.epochs == 0
    assert record(predicted.run_dir)["status"] == "finished"
    assert (predicted.run_dir / "args.yaml").is_file() and not (predicted.run_dir / "history.jsonl").exists()


def test_flags_of_training_are_named_where_nothing_is_trained(make: Callable[..., Any]) -> None:
    sources = {
        "epochs": "--epochs=9",
        "optimizer.learning_rate": "--learning_rate=1",
        "model.hidden_sizes": "--hidden_sizes=[4]",
        "ema_decay": "preset.yaml",
    }
    launch = Launch(sources=sources)
    trained = make().run(RunOptions(log_every_n_steps=10), launch=launch)
    assert trained.warnings == []
    for_it = make(from_checkpoint=str(trained.run_dir))
    tested = for_it.run(RunOptions(mode="test", log_every_n_steps=10), launch=launch)
    [line] = tested.warnings
    assert line == "mode=test trains nothing: --epochs, --learning_rate, --log_every_n_steps have no effect"
    assert for_it.run(RunOptions(mode="predict"), launch=Launch(sources={"seed": "--seed=1"})).warnings == []


def test_options_of_training_are_named_where_they_were_typed(make: Callable[..., Any]) -> None:
    options = RunOptions(mode="test", keep_best=2, log_every_n_steps=10, background_checkpoints=False)
    launch = Launch(typed=("--config=best.yaml", "--log-every-n-steps", "10", "--no-background_checkpoints"))
    trained = make().run()
    [line] = make(from_checkpoint=str(trained.run_dir)).run(options, launch=launch).warnings
    assert line == "mode=test trains nothing: --log_every_n_steps, --background_checkpoints have no effect"


@pytest.mark.parametrize("mode", ["test", "predict"])
def test_mode_without_weights_is_refused(make: Callable[..., Any], tmp_path: Path, mode: Any) -> None:
    with pytest.raises(UserError, match=f"--mode={mode} needs weights: add --from_checkpoint"):
        make().run(RunOptions(mode=mode))
    assert not (tmp_path / "results").exists()


def test_modes_that_contradict_each_other_are_refused() -> None:
    with pytest.raises(ValueError, match="only_test is mode=test"):
        RunOptions(mode="predict", only_test=True)
    with pytest.raises(ValueError, match="mode=predict writes predictions"):
        RunOptions(mode="predict", predictions="none")
    with pytest.raises(ValueError, match="predict_input needs mode=predict"):
        RunOptions(predict_input=Path("images"))


def test_predictions_of_all_sets_or_none(make: Callable[..., Any]) -> None:
    assert make().run(RunOptions(predictions="all")).predictions.keys() == {"train", "val", "test"}
    assert make().run(RunOptions(predictions="none")).predictions == {}


def test_probabilities_of_every_class_are_written_where_asked_for(make: Callable[..., Any]) -> None:
    plain, full = (rows(make().run(RunOptions(probabilities=on)).predictions["test"]) for on in (False, True))
    assert full[0].keys() - plain[0].keys() == {"probability_0", "probability_1"}
    for row in full:
        both = [float(row["probability_0"]), float(row["probability_1"])]
        assert sum(both) == pytest.approx(1) and max(both) == pytest.approx(float(row["confidence"]))


def test_debug_twin_runs_two_batches_twice_without_trackers_and_says_so(make: Callable[..., Any], points: Any) -> None:
    batches: list[str] = []

    class Watched(points):
        def build_trackers(self, options: Any, warn: Any) -> Any:
            pytest.fail("a debug run has no tracker")

        def prepare_batch(self, batch: Any, *, training: bool) -> Any:
            batches.append(self.dataset_name)
            return super().prepare_batch(batch, training=training)

    result = make(Watched, epochs=50, batch_size=4).run(RunOptions(debug=True, use_wandb=True, predictions="none"))
    assert batches == ["train", "train", "val", "val"] * 2 + ["test", "test"]
    assert result.debug and result.epochs == 2 and result.steps == 4
    assert "(debug)" in result.summary()
    assert record(result.run_dir)["debug"] is True


def test_threshold_is_chosen_on_validation_used_in_the_test_and_recorded(make: Callable[..., Any]) -> None:
    metrics = {"binary_classification": ["f1", "roc_auc"]}
    fields = {"metrics": metrics, "optimizer": {"kind": "sgd", "learning_rate": 1e-3}}
    plain = make(**fields).run()
    chosen = make(**fields, threshold_metric="f1").run()
    assert plain.threshold is None and chosen.threshold is not None
    assert record(chosen.run_dir)["result"]["threshold"] == chosen.threshold
    assert "chosen on validation" in chosen.summary()
    table = rows(chosen.predictions["test"])
    truth = torch.tensor([int(row["target"]) for row in table])
    said = torch.tensor([int(row["prediction"]) for row in table])
    hits = int(((truth == 1) & (said == 1)).sum())
    assert chosen.test["f1"] == pytest.approx(2 * hits / int((truth == 1).sum() + (said == 1).sum()), abs=1e-6)
    assert chosen.test["roc_auc"] == plain.test["roc_auc"] and chosen.test["f1"] >= plain.test["f1"]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"metrics": {"binary_classification": ["f2"]}}, "f2.*f1"),
        ({"metrics": {"binary": ["f1"]}}, "binary_classification"),
    ],
)
def test_unknown_metric_or_group_lists_the_known_ones(
    make: Callable[..., Any], tmp_path: Path, fields: dict[str, Any], said: str
) -> None:
    with pytest.raises(UserError, match=said):
        make(**fields).run()
    assert not (tmp_path / "results").exists()


def test_predict_mode_decides_by_the_threshold_that_the_run_chose(make: Callable[..., Any]) -> None:
    fields = {"optimizer": {"kind": "sgd", "learning_rate": 1e-3}, "threshold_metric": "f1"}
    trained = make(**fields).run()
    predicted = make(**fields, from_checkpoint=str(trained.run_dir)).run(RunOptions(mode="predict"))
    assert predicted.threshold == trained.threshold
    assert rows(predicted.predictions["test"]) == rows(trained.predictions["test"])


def test_predict_mode_that_fails_or_finds_nothing_is_no_success(make: Callable[..., Any], points: Any) -> None:
    class Failing(points):
        def predict_batch(self, batch: Any) -> Any:
            raise RuntimeError("no decoder")

    class Silent(points):
        def predict_batch(self, batch: Any) -> Any:
            return {}

    trained = make().run(RunOptions(predictions="none"))
    with pytest.raises(RuntimeError, match="no decoder"):
        make(Failing, from_checkpoint=str(trained.run_dir)).run(RunOptions(mode="predict"))
    with pytest.raises(UserError, match="points predicts nothing"):
        make(Silent, from_checkpoint=str(trained.run_dir)).run(RunOptions(mode="predict"))


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"ema_every_n_steps": 2}, "ema_every_n_steps has no effect without ema_decay"),
        ({"use_ema_weights": False}, "use_ema_weights has no effect without ema_decay"),
        ({"early_stopping_delta": 0.1}, "early_stopping_delta has no effect without early_stopping_patience"),
        ({"gradient_clipping": float("inf")}, "finite"),
    ],
)
def test_setting_without_effect_is_refused(make: Callable[..., Any], fields: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make(**fields)


def test_metrics_of_another_task_are_refused_before_the_run(make: Callable[..., Any], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--metrics: segmentation does not fit points on a plane"):
        make(metrics={"segmentation": ["dice"]}).run()
    assert not (tmp_path / "results").exists()


def test_threshold_without_two_classes_or_validation_is_refused_before_the_run(
    make: Callable[..., Any], points: Any, tmp_path: Path
) -> None:
    from dataclasses import replace

    class Three(points):
        def build_datasets(self) -> Any:
            return replace(super().build_datasets(), num_outputs=3)

    class Unvalidated(points):
        def build_datasets(self) -> Any:
            return replace(super().build_datasets(), val={})

    with pytest.raises(UserError, match="no classification into two classes"):
        make(Three, threshold_metric="f1").run()
    with pytest.raises(UserError, match="needs a validation set to choose the threshold"):
        make(Unvalidated, threshold_metric="f1").run()
    assert not (tmp_path / "results").exists()


def test_test_mode_applies_the_threshold_that_its_run_chose(make: Callable[..., Any]) -> None:
    fields = {"optimizer": {"kind": "sgd", "learning_rate": 1e-3}}
    trained = make(**fields, threshold_metric="f1").run()
    tested = make(**fields, from_checkpoint=str(trained.run_dir)).run(RunOptions(mode="test"))
    assert tested.threshold == trained.threshold and tested.test == trained.test


def test_pictures_show_the_test_set_whatever_else_is_predicted(
    make: Callable[..., Any], points: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    titles: list[str] = []

    def note(counts: Any, names: Any, path: Path, title: str) -> None:
        titles.append(title)

    class Drawn(points):
        def plot(self, run: Any, predictions: Any) -> Any:
            from labwright.session import plot_predictions

            return plot_predictions(run, self.splits, predictions)

    monkeypatch.setattr("labwright.runs.plots.plot_confusion", note)
    make(Drawn).run(RunOptions(predictions="all"))
    assert titles == ["points on a plane: test"]


def test_loss_that_is_only_a_tensor_is_one_line(make: Callable[..., Any], points: Any) -> None:
    class Slip(points):
        def compute_loss(self, batch: Any) -> Any:
            return super().compute_loss(batch).value

    with pytest.raises(UserError, match=r"compute_loss must return a Loss\(value, outputs, weight\).*not a Tensor"):
        make(Slip).run()


def test_stop_by_a_hook_is_said_with_the_weights_that_are_kept(make: Callable[..., Any], points: Any) -> None:
    from io import StringIO

    from labwright.runs.terminal import Terminal

    class Stopping(points):
        def on_batch_end(self) -> None:
            if self.epoch == 2 and self.is_training:
                self.stop("experiment")

    shown = StringIO()
    make(Stopping, epochs=5).run(RunOptions(predictions="none"), terminal=Terminal(shown))
    assert "stopped in epoch 2 of 5; the weights kept are those of epoch 1" in shown.getvalue()


def test_hooks_that_are_no_list_of_hooks_are_refused(make: Callable[..., Any], points: Any) -> None:
    from labwright import Hook

    class Single(points):
        def build_hooks(self) -> Any:
            return Hook()

    with pytest.raises(UserError, match="build_hooks must return a list of Hook objects"):
        make(Single).run()
