"""Tables as datasets: columns of numbers and categories, standardized by the training rows."""

from dataclasses import dataclass, field

import numpy as np
import torch

from .args import DiabetesDataArgs, TableDataArgs, Task
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
    task: Task
    fingerprint: str
    class_names: tuple[str, ...] = field(default=())


def build_table(table: Table, args: TableDataArgs) -> Splits:
    """The table split (stratified by class), with the training rows' mean and deviation taken out."""
    labels = table.targets if table.task == "classification" else len(table.targets)
    train, val, test = hold_out(
        labels, val_fraction=args.val_fraction, test_fraction=args.test_fraction, seed=args.split_seed
    )
    inputs, targets = table.inputs, table.targets
    if args.standardize:
        inputs = _standardize(inputs, train, columns=table.is_number)
    if args.standardize_target and table.task == "regression":
        targets = _standardize(targets, train, columns=np.ones(targets.shape[1], dtype=bool))
    target_dtype = torch.int64 if table.task == "classification" else torch.float32
    data = TensorDataset(
        torch.from_numpy(inputs).float(), torch.from_numpy(targets).to(target_dtype), source=table.name
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


def build_diabetes(args: DiabetesDataArgs) -> Splits:
    """scikit-learn's diabetes data, from its raw units."""
    from sklearn.datasets import load_diabetes

    inputs, targets = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
    table = Table(
        name="scikit-learn diabetes",
        inputs=inputs,
        is_number=np.ones(inputs.shape[1], dtype=bool),
        targets=targets.reshape(-1, 1),
        task="regression",
        fingerprint=fingerprint(inputs, targets),
    )
    return build_table(table, args)


def _standardize(values: np.ndarray, train: np.ndarray, *, columns: np.ndarray) -> np.ndarray:
    mean = np.where(columns, values[train].mean(axis=0), 0.0)
    std = np.where(columns, values[train].std(axis=0), 1.0)
    return (values - mean) / np.where(std > 0, std, 1.0)  # a constant column becomes 0
