import math
from pathlib import Path

import pytest

from labwright.runs.durable import read_jsonl
from labwright.runs.history import Best, History, split_metric_name


@pytest.fixture
def history(tmp_path: Path) -> History:
    """Three epochs: the validation loss is best in the second, the accuracy in the second and third."""
    history = History(tmp_path / "history.jsonl")
    losses, accuracies = [0.9, 0.4, 0.5], [0.5, 0.8, 0.8]
    for epoch, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True), start=1):
        history.append(epoch, 10 * epoch, "train", {"loss": loss / 2}, learning_rate=1e-3)
        history.append(epoch, 10 * epoch, "val", {"loss": loss, "accuracy": accuracy})
    return history


def test_rows_are_on_disk_as_epochs_finish(history: History) -> None:
    """Seen in the template: the history was written only at the end, and Ctrl-C lost everything."""
    assert read_jsonl(history.path) == history.rows
    assert history.rows[:2] == [
        {"epoch": 1, "step": 10, "split": "train", "metrics": {"loss": 0.45}, "learning_rate": 1e-3},
        {"epoch": 1, "step": 10, "split": "val", "metrics": {"loss": 0.9, "accuracy": 0.5}},
    ]


def test_a_series_has_the_epochs_and_values_of_one_split(history: History) -> None:
    assert history.series("train", "loss") == ([1, 2, 3], [0.45, 0.2, 0.25])
    assert history.series("val", "accuracy") == ([1, 2, 3], [0.5, 0.8, 0.8])
    assert history.series("train", "accuracy") == ([], [])


def test_splits_come_in_order_of_appearance(history: History) -> None:
    assert history.splits() == ["train", "val"]


def test_the_best_epoch_is_the_first_of_equals_in_the_asked_direction(history: History) -> None:
    assert history.best() == Best(epoch=2, step=20, value=0.4)
    assert history.best("accuracy", minimize=False) == Best(epoch=2, step=20, value=0.8)
    assert history.best("train/loss", minimize=False) == Best(epoch=1, step=10, value=0.45)
    assert history.best("f1") is None


def test_values_that_are_not_finite_are_never_the_best(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for epoch, loss in enumerate([math.nan, 2.0, -math.inf, 1.0, math.nan], start=1):
        history.append(epoch, epoch, "val", {"loss": loss})
    assert history.best() == Best(4, 4, 1.0)
    assert History.load(history.path).best() == Best(4, 4, 1.0)


def test_a_loaded_history_answers_the_same_and_can_be_continued(history: History) -> None:
    loaded = History.load(history.path)
    assert loaded.rows == history.rows
    loaded.append(4, 40, "val", {"loss": 0.1})
    assert History.load(history.path).best() == Best(4, 40, 0.1)


def test_a_value_that_json_cannot_say_is_loaded_as_nan(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    history.append(1, 1, "val", {"loss": math.inf})
    assert math.isnan(History.load(history.path).rows[0]["metrics"]["loss"])


def test_a_missing_file_is_an_empty_history(tmp_path: Path) -> None:
    history = History.load(tmp_path / "history.jsonl")
    assert history.rows == history.splits() == []


def test_a_bare_metric_name_means_validation() -> None:
    assert split_metric_name("loss") == ("val", "loss")
    assert split_metric_name("val_augmented/accuracy") == ("val_augmented", "accuracy")


def test_a_history_is_taken_up_where_a_checkpoint_left_it(history: History) -> None:
    content = history.path.read_bytes()
    loaded = History.load(history.path, num_rows=4)
    assert loaded.rows == history.rows[:4] == read_jsonl(history.path)
    for row in history.rows[4:]:
        loaded.append(row["epoch"], row["step"], row["split"], row["metrics"], row.get("learning_rate"))
    assert history.path.read_bytes() == content
