from pathlib import Path

import numpy as np
import torch

from labwright.datasets.args import DiabetesDataArgs, DigitsDataArgs
from labwright.datasets.table import Table, build_table
from labwright.datasets.tensor import TensorDataset


def of(named: object) -> TensorDataset:
    """The one dataset of a split."""
    assert isinstance(named, dict)
    (dataset,) = named.values()
    return dataset


def test_diabetes_is_a_regression_standardized_by_its_training_rows(tmp_path: Path) -> None:
    splits = DiabetesDataArgs().build(tmp_path)
    train, test = of(splits.train), of(splits.test)

    assert (splits.task, splits.num_outputs, splits.input_shape) == ("regression", 1, (10,))
    assert (len(train), len(of(splits.val)), len(test)) == (310, 44, 88)
    torch.testing.assert_close(train.inputs.mean(0), torch.zeros(10), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.inputs.std(0, correction=0), torch.ones(10))
    torch.testing.assert_close(train.targets.std(correction=0), torch.tensor(1.0))
    assert test.inputs.mean(0).abs().max() > 0.01


def test_targets_keep_their_units_on_request(tmp_path: Path) -> None:
    splits = DiabetesDataArgs(standardize_target=False).build(tmp_path)

    assert of(splits.train).targets.min() >= 25
    assert of(splits.train).targets.shape == (310, 1)


def test_inputs_keep_their_units_on_request(tmp_path: Path) -> None:
    splits = DiabetesDataArgs(standardize=False).build(tmp_path)

    assert set(of(splits.train).inputs[:, 1].tolist()) == {1.0, 2.0}


def test_fingerprint_is_of_the_data_whatever_the_split(tmp_path: Path) -> None:
    prints = {DiabetesDataArgs(split_seed=seed, standardize=seed == 0).build(tmp_path).fingerprint for seed in (0, 1)}

    assert len(prints) == 1
    assert prints != {DigitsDataArgs().build(tmp_path).fingerprint}


def test_constant_and_one_hot_columns_survive_standardizing() -> None:
    inputs = np.stack([np.full(20, 7.0), np.arange(20.0), np.arange(20) % 2], axis=1)
    table = Table(
        name="made up",
        inputs=inputs,
        is_number=np.array([True, True, False]),
        targets=np.arange(20) % 2,
        task="classification",
        fingerprint="",
        class_names=("even", "odd"),
    )

    train = of(build_table(table, DiabetesDataArgs()).train)

    assert train.inputs[:, 0].eq(0).all()
    assert set(train.inputs[:, 2].tolist()) == {0.0, 1.0}
    assert train.targets.dtype == torch.int64
