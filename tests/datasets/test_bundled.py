"""The bundled tables are scikit-learn's own, and need no scikit-learn in memory."""

import subprocess
import sys

import numpy as np
import pytest

from labwright.datasets import bundled


@pytest.mark.slow
def test_tables_are_those_that_scikit_learn_loads() -> None:
    from sklearn.datasets import load_diabetes, load_digits

    images, labels = load_digits(return_X_y=True)
    assert np.array_equal(bundled.digits_table(), np.column_stack([images, labels]))
    for mine, theirs in zip(bundled.diabetes_tables(), load_diabetes(return_X_y=True, scaled=False), strict=True):
        assert mine.dtype == theirs.dtype and np.array_equal(mine, theirs)


@pytest.mark.slow
def test_scikit_learn_itself_is_asked_where_its_files_lie_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    digits, diabetes = bundled.digits_table(), bundled.diabetes_tables()
    monkeypatch.setattr(bundled, "find_spec", lambda name: None)
    assert np.array_equal(bundled.digits_table(), digits)
    assert all(map(np.array_equal, bundled.diabetes_tables(), diabetes))


def test_reading_them_imports_no_scikit_learn() -> None:
    code = (
        "import sys; from labwright.datasets.bundled import diabetes_tables, digits_table; digits_table(); "
        "diabetes_tables(); print([name for name in ('sklearn', 'scipy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert done.stdout == "[]\n", done.stderr
