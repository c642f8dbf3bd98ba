from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from labwright.runs.plots import plot_learning_rates

Texts = Callable[[Path], list[str]]


def test_the_rates_that_matter_are_named_with_their_values(tmp_path: Path, texts: Texts) -> None:
    path = tmp_path / "rates.svg"
    rates = np.geomspace(1e-5, 1, 50).tolist()
    losses = [2.0 - rate + 1000 * (rate > 0.5) for rate in rates]
    plot_learning_rates(rates, losses, losses, path, "a$b", subtitle="50 steps", marks={"steepest": 0.0123, "now": 7.0})
    shown = texts(path)
    assert {"a$b", "50 steps", "Learning rate", "Loss", "steepest: 0.012"} <= set(shown)
    assert not [text for text in shown if text.startswith("now")]  # it is beyond what was tried
    assert not [text for text in shown if text.isdigit() and int(text) > 100]  # the explosion is cut off


@pytest.mark.parametrize("losses", [[1.0, 1.0], [3.0, 1e30]], ids=["equal", "far apart"])
def test_extreme_losses_are_drawn_without_a_warning(tmp_path: Path, losses: list[float]) -> None:
    path = tmp_path / "rates.png"
    plot_learning_rates([1e-3, 1e-2], losses, losses, path, "t")
    assert path.read_bytes().startswith(b"\x89PNG")
