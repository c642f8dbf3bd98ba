"""The tables that scikit-learn brings along, read without importing it: that takes a second and more."""

import gzip
from importlib.util import find_spec
from pathlib import Path

import numpy as np


def digits_table() -> np.ndarray:
    """1,797 handwritten digits: 64 pixels of 0 to 16 and the class, a row an image."""
    table = _read("digits.csv.gz", delimiter=",")
    if table is None:
        from sklearn.datasets import load_digits

        table = np.column_stack([np.asarray(part) for part in load_digits(return_X_y=True)])
    return table


def diabetes_tables() -> tuple[np.ndarray, np.ndarray]:
    """Ten measurements of 442 patients in their raw units, and how far the disease came a year later."""
    inputs, targets = _read("diabetes_data_raw.csv.gz"), _read("diabetes_target.csv.gz")
    if inputs is None or targets is None:
        from sklearn.datasets import load_diabetes

        inputs, targets = map(np.asarray, load_diabetes(return_X_y=True, scaled=False))
    return inputs, targets


def _read(name: str, delimiter: str | None = None) -> np.ndarray | None:
    """The numbers in a file of scikit-learn's data folder; None: this version has no such file there."""
    package = find_spec("sklearn")
    folders = [] if package is None else package.submodule_search_locations or []
    for path in (Path(folder) / "datasets" / "data" / name for folder in folders):
        if path.is_file():
            with gzip.open(path, "rt", encoding="utf-8") as lines:
                return np.loadtxt(lines, delimiter=delimiter)
    return None
