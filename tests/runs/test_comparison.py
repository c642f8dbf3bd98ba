import math
from pathlib import Path

import pytest

from labwright.args.errors import UserError
from labwright.runs import History
from labwright.runs.comparison import Column, compare

from ..written_runs import DIGITS, SGD, write_run

ADAM_SMALL = DIGITS["optimizer"] | {"learning_rate": 0.0001}


def test_each_metric_is_told_at_its_best_at_the_end_and_on_test(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "aa11"), write_run(tmp_path, "bb22", val_loss=[0.2, 0.6])]
    compared = compare(runs)
    assert [column.title for column in compared.columns] == [
        "best val/loss",
        "last val/loss",
        "test/loss",
        "test/accuracy",
    ]
    assert [[run.value(column) for column in compared.columns] for run in compared.runs] == [
        [0.3, 0.4, 0.35, 0.9],
        [0.2, 0.6, 0.35, 0.9],
    ]
    by_accuracy = compare(runs, ["accuracy"])
    assert [column.title for column in by_accuracy.columns] == [
        "best val/accuracy",
        "last val/accuracy",
        "test/accuracy",
    ]
    assert [by_accuracy.runs[1].value(column) for column in by_accuracy.columns] == [0.8, 0.4, 0.9]
    assert by_accuracy.panels() == ["val/accuracy"]


def test_seeds_make_a_group_with_the_spread_of_its_finished_runs(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, f"aa1{seed}", args={"seed": seed}, val_loss=[0.1 * (seed + 1)]) for seed in range(3)]
    runs += [write_run(tmp_path, "bb22", args={"seed": 9}, val_loss=[9.0], status="failed")]
    runs += [write_run(tmp_path, "cc33", args={"optimizer": SGD})]
    group, alone = compare(runs).groups
    assert (len(group.runs), len(group.finished), len(alone.runs)) == (4, 3, 1)
    spread = group.spread(Column("val/loss", "best"))
    assert spread is not None
    assert spread.mean == pytest.approx(0.2)
    assert spread.deviation == pytest.approx(0.1)
    assert spread.num_values == 3
    single = alone.spread(Column("val/loss", "best"))
    assert single is not None and math.isnan(single.deviation)
    assert alone.spread(Column("val/f1", "best")) is None


def test_a_value_that_is_not_finite_is_nan_and_one_that_is_not_there_is_none(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path, "aa11", val_loss=[0.5, math.nan]),
        write_run(tmp_path, "bb22", val_loss=[math.nan, math.nan], test={"loss": math.nan}),
        write_run(tmp_path, "cc33", val_loss=[], status="running"),
    ]
    compared = compare(runs, ["loss"])
    table = [[run.value(column) for column in compared.columns] for run in compared.runs]
    assert table[0][0] == 0.5 and table[2] == [None, None, None]
    assert [table[0][1], *table[1][:2]] == pytest.approx([math.nan] * 3, nan_ok=True)


def test_a_mean_over_sets_that_decided_is_told_although_no_history_has_it(tmp_path: Path) -> None:
    run = write_run(tmp_path, "aa11")
    run.record_path.write_text(run.record_path.read_text().replace('"val/loss"', '"mean/loss"'))
    compared = compare([run, write_run(tmp_path, "bb22")], ["mean/loss"])
    assert [each.value(compared.columns[0]) for each in compared.runs] == [0.3, None]


def test_runs_of_several_experiments_without_validation_are_compared_by_what_they_have(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "aa11", val_loss=[]), write_run(tmp_path, "bb22", args={"experiment_id": "other"})]
    for run, metric in zip(runs, ("reward", "loss"), strict=True):
        run.history_path.unlink(missing_ok=True)
        History(run.history_path).append(1, 10, "train", {metric: 2.0})
        run.record_path.write_text(run.record_path.read_text().replace('"val/loss"', "null"))
    compared = compare(runs)
    assert compared.differing == ["experiment_id"]
    assert compared.columns[0].title == "best train/loss"
    assert compared.panels() == ["train/loss", "train/reward"]


def test_runs_are_named_by_what_is_different_about_them(tmp_path: Path) -> None:
    runs = [
        write_run(tmp_path, "aa11"),
        write_run(tmp_path, "bb22", args={"optimizer": ADAM_SMALL}),
        write_run(tmp_path, "cc33", args={"optimizer": ADAM_SMALL}),
        write_run(tmp_path, "dd44", args={"model": {"kind": "mlp", "hidden_sizes": [100] * 100}}),
    ]
    assert compare(runs).labels() == [
        "hidden_sizes=[64], learning_rate=0.001",
        "hidden_sizes=[64], learning_rate=0.0001 (bb22)",
        "hidden_sizes=[64], learning_rate=0.0001 (cc33)",
        "hidden_sizes=[100, 100, 100, 100, ..., learning_rate=0.001",
    ]
    assert compare(runs[:3]).group_labels() == ["learning_rate=0.001 (1 run)", "learning_rate=0.0001 (2 runs)"]
    same = [runs[1], runs[2]]
    assert (compare(same).differing, compare(same).labels()) == ([], ["(bb22)", "(cc33)"])
    assert compare(same).group_labels() == ["2 runs"]


def test_a_run_that_was_killed_does_not_cut_the_mean_of_its_group_short(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "aa11"), write_run(tmp_path, "bb22", args={"seed": 1})]
    killed = write_run(tmp_path, "cc33", args={"seed": 2}, val_loss=[0.5], status="interrupted")
    curves = compare([*runs, killed]).curves(by_group=True)
    assert {label: len(rows) for label, rows in curves.items()} == {"2 of 3 runs": 2}
    assert list(compare([killed, killed]).curves(by_group=True)) == ["2 runs"]


def test_runs_whose_ids_end_alike_keep_a_curve_each(tmp_path: Path) -> None:
    runs = [write_run(tmp_path / folder, "aa11") for folder in ("here", "there")]
    assert len(compare(runs).curves()) == 2


def test_of_too_many_runs_for_colours_the_best_come_first(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, f"aa{seed}", args={"seed": seed}, val_loss=[1 / seed]) for seed in range(1, 13)]
    assert list(compare(runs[:3]).curves()) == ["seed=1", "seed=2", "seed=3"]
    assert list(compare(runs).curves())[:2] == ["seed=12", "seed=11"]


def test_a_metric_that_no_run_has_is_refused_with_the_nearest(tmp_path: Path) -> None:
    runs = [write_run(tmp_path, "aa11"), write_run(tmp_path, "bb22")]
    with pytest.raises(UserError, match='none of these runs has "val/acuracy"; did you mean val/accuracy'):
        compare(runs, ["acuracy"])


def test_a_damaged_run_is_refused_by_its_name(tmp_path: Path) -> None:
    run = write_run(tmp_path, "aa11")
    run.record_path.write_text("{")
    with pytest.raises(UserError, match="12-00-00_aa11 is damaged: .*not JSON"):
        compare([run, write_run(tmp_path, "bb22")])
