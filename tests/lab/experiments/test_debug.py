"""`--debug` tries every experiment of the lab from its data to its pictures."""

from collections.abc import Callable
from typing import Any

import pytest
from matplotlib.image import imread

from lab.registry import EXPERIMENTS

SOURCES = {"mnist": ["--dataset.source=digits"]}
"""What an experiment needs said so that it fetches nothing."""
IDS = [pytest.param(name, marks=[pytest.mark.slow] * (name == "jax_mlp")) for name in EXPERIMENTS]
SMALLEST_PICTURE = 5_000
"""Bytes; axes without anything in them come to less."""


@pytest.mark.usefixtures("noise_for_fashion_mnist")
@pytest.mark.parametrize("experiment_id", IDS)
def test_debug_run_ends_with_pictures_and_no_tracker(command_line: Callable[..., Any], experiment_id: str) -> None:
    words = [f"--experiment_id={experiment_id}", "--debug", "--use_cuda=false", "--use_tensorboard"]
    ended = command_line(*words, *SOURCES.get(experiment_id, []))
    assert ended.code == 0, ended.err
    assert ended.record["status"] == "finished" and ended.record["debug"] is True
    assert ended.record["result"]["debug"] is True and ended.record["result"]["epochs"] <= 2
    assert "failed" not in ended.err
    pictures = [path for path in ended.run.rglob("*.png") if path.name != "history.png"]
    assert pictures
    for path in pictures:
        assert path.stat().st_size > SMALLEST_PICTURE and imread(path).std() > 0.01, path
    assert not [*ended.run.rglob("*tfevents*")], "no trackers, though one was asked for"
