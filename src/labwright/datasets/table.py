"""Tables as datasets: columns of numbers and categories, standardized by the training rows."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch

from .args import DiabetesDataArgs, TableDataArgs, TableTask
from .bundled import diabetes_tables
from .splits import Splits, fingerprint, hold_out
from .tensor import TensorDataset


@dataclass(frozen=True)
class Table:
    """What a table file holds, as numbers."""

    name: str
    inputs: np.ndarray
    """float64 [rows, features]; categories one-hot."""
    is_number: np.ndarray
    """Which features came from number columns; only these are standardized."""
    targets: np.ndarray
    """int64 [rows] for classes, float64 [rows, 1] for a regression."""
    task: TableTask
    fingerprint: str
    class_names: tuple[str, ...] = ()
    groups: np.ndarray | None = None
    """The group of each row, where rows of one group must stay on one side of the split."""


class Scaling(NamedTuple):
    """What is taken from each column, and what it is then divided by."""

    mean: np.ndarray
    std: np.ndarray

    def applied_to(self, values: np.ndarray) -> np.ndarray:
        return (values - self.mean) / self.std


def build_table(table: Table, args: TableDataArgs) -> Splits:
    """The table split (by group, or stratified by class), with the training rows' mean and deviation taken out."""
    train, val, test = _hold_out(table, args)
    inputs, targets = input_scaling(table, args).applied_to(table.inputs), table.targets
    if args.standardize_target and table.task == "regression":
        targets = _scaling(targets, train, columns=np.ones(targets.shape[1], dtype=bool)).applied_to(targets)
    target_dtype = torch.int64 if table.task == "classification" else torch.float32
    data = TensorDataset(
        torch.from_numpy(inputs).float(),
        torch.from_numpy(targets).to(target_dtype),
        source=table.name,
        groups=table.groups,
    )
    return Splits(
        train={"train": data.subset(train)},
        val={"val": data.subset(val)} if len(val) else {},
        test={"test": data.subset(test)} if len(test) else {},
        name=table.name,
        task=table.task,
        num_outputs=len(table.class_names) if table.task == "classification" else targets.shape[1],
        class_names=table.class_names,
        fingerprint=table.fingerprint,
    )


def input_scaling(table: Table, args: TableDataArgs) -> Scaling:
    """How the inputs are standardized: by the training rows of `table`, and number columns alone."""
    if not args.standardize:
        return Scaling(np.array(0.0), np.array(1.0))
    train, _, _ = _hold_out(table, args)
    return _scaling(table.inputs, train, columns=table.is_number)


def build_diabetes(args: DiabetesDataArgs) -> Splits:
    """scikit-learn's diabetes data, from its raw units."""
    inputs, targets = diabetes_tables()
    table = Table(
        name="scikit-learn diabetes",
        inputs=inputs,
        is_number=np.ones(inputs.shape[1], dtype=bool),
        targets=targets.reshape(-1, 1),
        task="regression",
        fingerprint=fingerprint(inputs, targets),
    )
    return build_table(table, args)


def _hold_out(table: Table, args: TableDataArgs) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return hold_out(
        table.targets if table.task == "classification" else len(table.targets),
        val_fraction=args.val_fraction,
        test_fraction=args.test_fraction,
        seed=args.split_seed,
        groups=table.groups,
    )


def _scaling(values: np.ndarray, train: np.ndarray, *, columns: np.ndarray) -> Scaling:
    mean = np.where(columns, values[train].mean(axis=0), 0.0)
    std = np.where(columns, values[train].std(axis=0), 1.0)
    return Scaling(mean, np.where(std > 0, std, 1.0))  # a constant column becomes 0
