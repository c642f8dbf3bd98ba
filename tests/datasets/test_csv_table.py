import re
from pathlib import Path
from typing import Any

import pytest
import torch

from labwright.args import UserError
from labwright.datasets.args import CsvDataArgs
from labwright.datasets.overlap import check_overlap
from labwright.datasets.splits import Splits

KINDS = (("Adelie", "Biscoe", 38, 3700), ("Gentoo", "Biscoe", 47, 5000), ("Chinstrap", "Dream", 48, 3700))
PENGUINS = "species,island,bill,mass\n" + "".join(
    f"{species},{island},{bill + i / 10},{mass + i}\n" for i in range(10) for species, island, bill, mass in KINDS
)


@pytest.fixture
def build(tmp_path: Path) -> Any:
    def build(text: str | bytes = PENGUINS, *, target: str = "species", **fields: Any) -> Splits:
        path = tmp_path / "penguins.csv"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        fields = {"val_fraction": 0, "test_fraction": 0, "standardize": False, "standardize_target": False} | fields
        return CsvDataArgs(path=path, target=target, **fields).build(tmp_path)

    return build


def table_of(splits: Splits) -> Any:
    return splits.train["train"]


def test_columns_become_numbers_and_categories(build: Any) -> None:
    splits = build()

    assert splits.class_names == ("Adelie", "Chinstrap", "Gentoo")
    assert (splits.name, splits.task, splits.num_outputs, splits.input_shape) == (
        "penguins.csv",
        "classification",
        3,
        (4,),
    )
    torch.testing.assert_close(table_of(splits).inputs[0], torch.tensor([1.0, 0.0, 38.0, 3700.0]))
    assert table_of(splits).targets[:3].tolist() == [0, 2, 1]


def test_column_types_can_be_said(build: Any) -> None:
    splits = build(columns={"island": "ignore", "bill": "category"})

    bills, mass = table_of(splits).inputs[:, :-1], table_of(splits).inputs[:, -1]
    assert bills.sum(1).eq(1).all() and bills.shape[1] > 20
    assert mass.min() == 3700


def test_regression_predicts_a_number(build: Any) -> None:
    splits = build(target="mass", task="regression")

    assert (splits.task, splits.num_outputs, splits.class_names) == ("regression", 1, ())
    assert table_of(splits).targets[:2].tolist() == [[3700.0], [5000.0]]


def test_every_split_has_every_class_and_categories_of_the_whole_file(build: Any) -> None:
    splits = build(val_fraction=0.2, test_fraction=0.2)

    for named in (splits.train, splits.val, splits.test):
        (dataset,) = named.values()
        assert set(dataset.targets.tolist()) == {0, 1, 2}
        assert dataset.input_shape == (4,)


def test_number_classes_are_sorted_as_numbers(build: Any) -> None:
    assert build("x,y\n1,10\n2,9\n3,10\n", target="y").class_names == ("9", "10")


def test_quotes_semicolons_blank_lines_and_a_byte_order_mark_are_understood(build: Any) -> None:
    splits = build('\ufeffx;y\n\n1; a\n2;"b;c"\n', target="y", delimiter=";")

    assert splits.class_names == ("a", "b;c")
    assert table_of(splits).inputs.tolist() == [[1.0], [2.0]]


BAD: dict[str, tuple[str | bytes, dict[str, Any], str]] = {
    "missing target": (PENGUINS, {"target": "specie"}, "has no column 'specie'; did you mean 'species'?"),
    "missing column": (PENGUINS, {"columns": {"wing": "number"}}, "no column 'wing'; it has 'species', 'island', 'b"),
    "no number": (
        "x,y\n1,a\ntwo,b\n3,b\n",
        {"target": "y"},
        "line 3, column 'x': 'two' is not a finite number; if it is no",
    ),
    "nan": ("x,y\n1,a\n2,b\nnan,b\n", {"target": "y"}, "line 4, column 'x': 'nan' is not a finite number"),
    "infinite": ("x,y\n1,a\n2,b\n1e999,b\n", {"target": "y"}, "line 4, column 'x': '1e999' is not a finite number"),
    "empty number": ("x,y\n1,a\n,b\n", {"target": "y"}, "line 3, column 'x' is empty"),
    "empty category": ("x,y\nu,a\n,b\nv,b\n", {"target": "y"}, "line 3, column 'x' is empty"),
    "empty class": ("x,y\n1,a\n2,\n", {"target": "y"}, "line 3, column 'y' is empty"),
    "ragged": ("x,y\n1,a\n2,b,c\n", {"target": "y"}, "line 3: 3 cells, but the header has 2"),
    "empty": ("", {}, "is empty"),
    "header only": ("x,y\n", {"target": "y"}, "has a header line but no rows"),
    "one class": ("x,y\n1,a\n2,a\n", {"target": "y"}, "the target 'y' has one class only, 'a'"),
    "target only": ("y\na\nb\n", {"target": "y"}, "has no input columns beside the target 'y'"),
    "doubled": ("x,x,y\n1,2,a\n", {"target": "y"}, "several columns named 'x'"),
    "regression of text": (
        PENGUINS,
        {"task": "regression"},
        "line 2, column 'species': 'Adelie' is not a finite number",
    ),
    "classes of a number": (
        "x,y\n" + "".join(f"{i},{i / 7}\n" for i in range(300)),
        {"target": "y"},
        "the target 'y' has 300 different numbers; did you mean task=regression?",
    ),
    "names": (
        "x,name,y\n" + "".join(f"{i},person {i},{i % 2}\n" for i in range(300)),
        {"target": "y"},
        "column 'name' has 300 different texts; say what it is with --dataset.columns.name=ignore (or category)",
    ),
    "not text": (b"x,y\n\xff\xfe,a\n", {"target": "y"}, "is not UTF-8 text: invalid start byte at byte 4"),
    "open quote": ('x,y\n1,a\n2,"b\n', {"target": "y"}, "is not CSV: unexpected end of data after line 2"),
    "group is the target": (PENGUINS, {"group": "species"}, "group and target are both 'species'"),
    "missing group": (PENGUINS, {"group": "iland"}, "has no column 'iland'; did you mean 'island'?"),
    "too few to split": (
        "x,y\n1,a\n2,b\n",
        {"target": "y", "test_fraction": 0.1},
        "test_fraction=0.1 of 2 samples is none",
    ),
}


@pytest.mark.parametrize(("text", "fields", "message"), BAD.values(), ids=BAD.keys())
def test_bad_table_is_one_clear_line(build: Any, text: str, fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=re.escape(message)) as caught:
        build(text, **fields)

    assert "\n" not in str(caught.value)


def test_missing_file_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=re.escape(f"cannot read {tmp_path / 'no.csv'}: No such file")):
        CsvDataArgs(path=tmp_path / "no.csv", target="y").build(tmp_path)


VISITS = "patient,age,ill\n" + "".join(f"p{i // 4},{20 + i},{i % 2}\n" for i in range(80))


def test_rows_of_a_group_stay_on_one_side_and_the_group_is_no_input(build: Any) -> None:
    splits = build(VISITS, target="ill", group="patient", val_fraction=0.2, test_fraction=0.2)

    groups = [set(dataset.groups) for named in (splits.train, splits.val, splits.test) for dataset in named.values()]
    assert [len(each) for each in groups] == [12, 4, 4]
    assert len(set.union(*groups)) == 20
    assert splits.input_shape == (1,)
    assert check_overlap(splits, "refuse") == []


def test_group_column_is_an_input_if_its_type_is_said(build: Any) -> None:
    splits = build(VISITS, target="ill", group="patient", columns={"patient": "category"})

    assert splits.input_shape == (21,)


@pytest.fixture
def trained(tmp_path: Path) -> tuple[CsvDataArgs, Splits]:
    path = tmp_path / "penguins.csv"
    path.write_text(PENGUINS)
    args = CsvDataArgs(path=path, target="species", columns={"mass": "number"})
    return args, args.build(tmp_path)


def test_rows_to_predict_are_treated_like_the_training_rows(trained: Any, tmp_path: Path) -> None:
    args, splits = trained
    rows = tmp_path / "rows.csv"
    rows.write_text("mass,name,bill,island\n3700,Ada,38.0,Biscoe\n5009,Bea,47.9,Biscoe\n")

    inputs: Any = args.open_inputs(rows, splits)

    stored = {tuple(row.tolist()) for each in (splits.train, splits.val, splits.test) for row in table_of_any(each)}
    assert {tuple(row.tolist()) for row in inputs.inputs} <= stored
    assert "target" not in inputs[0]


def table_of_any(named: Any) -> torch.Tensor:
    (dataset,) = named.values()
    return dataset.inputs


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mass,bill\n3700,38\n", "rows.csv has no column 'island'; it has 'mass', 'bill'"),
        ("mass,bill,island\n3700,38,Mars\n", "line 2, column 'island': 'Mars' is not among the training rows; known: "),
        ("mass,bill,island\n3700,wide,Dream\n", "line 2, column 'bill': 'wide' is not a finite number"),
        ("mass,bill,island\n", "rows.csv has a header line but no rows"),
    ],
)
def test_bad_rows_to_predict_are_one_clear_line(trained: Any, tmp_path: Path, text: str, message: str) -> None:
    args, splits = trained
    rows = tmp_path / "rows.csv"
    rows.write_text(text)

    with pytest.raises(UserError, match=re.escape(message)) as caught:
        args.open_inputs(rows, splits)

    assert "\n" not in str(caught.value)


def test_rows_are_not_read_by_training_data_that_changed(trained: Any, tmp_path: Path) -> None:
    args, splits = trained
    args.path.write_text(PENGUINS + "Adelie,Dream,40,3800\n")

    with pytest.raises(UserError, match="penguins.csv has changed since it was read"):
        args.open_inputs(args.path, splits)
