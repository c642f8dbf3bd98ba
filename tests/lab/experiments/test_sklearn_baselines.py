"""Classifiers of scikit-learn on the same loop, run directory and plots as any other experiment, without PyTorch."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lab.experiments.sklearn_baselines.args import SklearnBaselinesArgs
from lab.experiments.sklearn_baselines.experiment import load_table
from labwright.args import MachineConfig, RunOptions
from labwright.runs import decode_arrays

ID = "--experiment_id=sklearn_baselines"
QUICK = (ID, '--classifiers=["most_frequent", "naive_bayes", "nearest_neighbours"]', '--tables=["wine", "iris"]')


def history(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "history.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("words", [[ID, "--debug"], [*QUICK, "--use_cuda=false"]])
def test_it_runs_where_torch_cannot_be_imported(run_without_torch: Callable[..., Path], words: list[str]) -> None:
    run = run_without_torch(*words)
    files = {path.name for path in run.iterdir() if path.is_file()}
    assert files >= {"args.yaml", "run.json", "history.jsonl", "history.png", "log.txt", "classifiers.png"}
    record = json.loads((run / "run.json").read_text())
    assert (record["status"], record["debug"]) == ("finished", "--debug" in words)
    assert {path.name for path in (run / "predictions").iterdir()} >= {"test_wine.csv", "test_iris.csv"}


def test_debug_tries_two_classifiers_on_every_table(command_line: Callable[..., Any]) -> None:
    ended = command_line(ID, "--debug")
    rows = history(ended.run)
    assert {row["epoch"] for row in rows} == {1, 2}
    assert {row["split"] for row in rows if row["split"].startswith("test")} == {
        "test_digits", "test_wine", "test_breast_cancer", "test_iris"
    }  # fmt: skip


class TestBestClassifier:
    def test_it_is_the_one_with_the_best_mean_over_all_tables(self, command_line: Callable[..., Any]) -> None:
        ended = command_line(*QUICK)
        rows = [row for row in history(ended.run) if row["split"].startswith("val")]
        means = [np.mean([row["metrics"]["accuracy"] for row in rows if row["epoch"] == epoch]) for epoch in (1, 2, 3)]
        result = ended.record["result"]
        assert result["best_metric"] == "mean/accuracy"
        assert result["best_value"] == pytest.approx(max(means))
        assert result["best_epoch"] == np.argmax(means) + 1
        assert ended.test["test_wine/accuracy"] > 0.9 and ended.test["test_iris/accuracy"] > 0.85

    def test_it_is_fitted_again_for_the_test(self, tmp_path: Path) -> None:
        def run(*classifiers: str, **fields: Any) -> Any:
            args = SklearnBaselinesArgs.model_validate({"classifiers": [*classifiers], "tables": ["wine"], **fields})
            return args.build(MachineConfig(results_dir=tmp_path)).run(RunOptions(predictions="none"))

        alone, first = run("random_forest"), run("random_forest", "most_frequent")
        assert (first.best_epoch, first.epochs) == (1, 2)
        assert first.test == alone.test
        assert decode_arrays(first.run_dir / "model.safetensors") == {"classifier": "random_forest"}
        last = run("random_forest", "most_frequent", return_best_model=False)
        assert last.weights_epoch == 2 and last.test["test_wine/accuracy"] < 0.6

    def test_another_table_can_decide(self, command_line: Callable[..., Any]) -> None:
        ended = command_line(*QUICK, "--best_model_metric=val_iris/loss")
        losses = [row["metrics"]["loss"] for row in history(ended.run) if row["split"] == "val_iris"]
        assert ended.record["result"]["best_value"] == min(losses)

    def test_search_ends_early_when_classifiers_get_no_better(self, command_line: Callable[..., Any]) -> None:
        words = '--classifiers=["nearest_neighbours", "most_frequent", "random_forest"]'
        ended = command_line(ID, words, "--tables=wine", "--early_stopping_patience=1")
        assert ended.record["result"]["stopped_early"] and ended.record["result"]["epochs"] == 2


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "said"),
        [
            (["--epochs=6"], "epochs=6, but there are 5 classifiers"),
            (["--classifiers=[]"], "--classifiers"),
            (["--classifiers=svm"], "svm"),
            (["--batch_size=8"], "--batch_size: sklearn_baselines does not use it"),
            (["--mode=test"], "--mode=test"),
        ],
    )
    def test_what_has_no_meaning_here_is_one_line(
        self, command_line: Callable[..., Any], tmp_path: Path, words: list[str], said: str
    ) -> None:
        assert said in command_line(ID, *words).error
        assert not (tmp_path / "results").exists()


def test_epochs_follow_the_list_unless_they_are_given() -> None:
    assert SklearnBaselinesArgs(classifiers=["naive_bayes", "random_forest"]).epochs == 2
    assert SklearnBaselinesArgs(epochs=3).epochs == 3
    assert SklearnBaselinesArgs().epochs == len(SklearnBaselinesArgs().classifiers)


@pytest.mark.parametrize(("name", "num_rows"), [("digits", 1797), ("wine", 178), ("breast_cancer", 569), ("iris", 149)])
def test_no_row_of_a_table_stands_there_twice(name: Any, num_rows: int) -> None:
    table = load_table(name)
    assert len(table) == len(np.unique(table.inputs, axis=0)) == num_rows
