from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from labwright.args import Args, UserError
from labwright.datasets.args import (
    CsvDataArgs,
    DatasetArgs,
    DatasetUnion,
    DiabetesDataArgs,
    MnistDataArgs,
    ShapesDataArgs,
    TextDataArgs,
)


class Lab(Args):
    dataset: DatasetUnion = MnistDataArgs()


def test_dataset_is_chosen_by_its_kind() -> None:
    chosen = Lab.model_validate({"dataset": {"kind": "csv", "path": "x.csv", "target": "y"}}).dataset

    assert isinstance(chosen, CsvDataArgs)
    assert isinstance(Lab.model_validate({"dataset": {"kind": "diabetes"}}).dataset, DiabetesDataArgs)


@pytest.mark.parametrize(
    "fields",
    [
        {"val_fraction": 1.0},
        {"val_fraction": -0.1},
        {"split_seed": -1},
        {"source": "internet"},
        {"test_fraction": 0.2},
    ],
)
def test_impossible_mnist_is_refused_when_it_is_described(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        MnistDataArgs(**fields)


def test_delimiter_is_one_character() -> None:
    with pytest.raises(ValidationError):
        CsvDataArgs(path=Path("x.csv"), target="y", delimiter=", ")


def test_every_field_says_what_it_is() -> None:
    variants = (MnistDataArgs, CsvDataArgs, DiabetesDataArgs, ShapesDataArgs, TextDataArgs)
    undocumented = {
        f"{variant.__name__}.{name}"
        for variant in variants
        for name, field in variant.model_fields.items()
        if not field.description
    }

    assert undocumented == {f"{variant.__name__}.kind" for variant in variants}


def test_dataset_without_build_says_what_it_needs(tmp_path: Path) -> None:
    with pytest.raises(NotImplementedError, match="DatasetArgs needs a build"):
        DatasetArgs().build(tmp_path)


def test_dataset_that_reads_no_inputs_says_which_do(tmp_path: Path) -> None:
    args = DiabetesDataArgs()

    with pytest.raises(UserError, match="scikit-learn diabetes cannot read inputs from rows.csv.*open_inputs"):
        args.open_inputs(Path("rows.csv"), args.build(tmp_path))
