"""Every experiment of the lab can be found, described and asked for help."""

from collections.abc import Callable
from typing import Any

import pytest

from lab.registry import EXPERIMENTS
from labwright.args import ExperimentArgs, MachineConfig
from labwright.args.registry import resolve


@pytest.mark.parametrize("experiment_id", EXPERIMENTS)
def test_each_entry_resolves_and_builds(experiment_id: str) -> None:
    model = resolve(EXPERIMENTS, experiment_id)
    assert issubclass(model, ExperimentArgs) and model.__doc__
    args = model(experiment_id=experiment_id)
    assert args.build(MachineConfig()).args is args


@pytest.mark.parametrize("experiment_id", EXPERIMENTS)
def test_help_of_each_shows_its_own_flags(command_line: Callable[..., Any], experiment_id: str) -> None:
    ended = command_line(f"--experiment_id={experiment_id}", "--help")
    own = resolve(EXPERIMENTS, experiment_id).model_fields.keys() - ExperimentArgs.model_fields.keys()
    assert ended.code == 0 and own
    assert all(f"--{name}" in ended.out for name in (*own, "epochs", "results_dir"))
