"""Every experiment of the lab can be stopped anywhere and taken up again, with nothing lost."""

import signal
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from lab.registry import EXPERIMENTS
from labwright import BareExperiment

SOURCES = {"mnist": ["--dataset.source=digits"]}
"""What an experiment needs said so that it fetches nothing."""
SAME = ("history.jsonl", "model.safetensors", "args.yaml", "artifacts/", "predictions/")
"""The files, and folders, that must not tell a resumed run from another."""

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("noise_for_fashion_mnist", "no_pictures")]


def kept(run: Path, tree: Callable[[Path], Mapping[str, bytes]]) -> dict[str, bytes]:
    return {name: content for name, content in tree(run).items() if name.startswith(SAME)}


@pytest.mark.parametrize("passes", [2, 4])
@pytest.mark.parametrize("experiment_id", EXPERIMENTS)
def test_experiment_that_is_stopped_ends_as_if_it_had_not_been(
    command_line: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    tree: Callable[[Path], Mapping[str, bytes]],
    experiment_id: str,
    passes: int,
) -> None:
    """`passes`: it is stopped when so many passes over a dataset have begun."""
    words = [f"--experiment_id={experiment_id}", "--debug", "--use_cuda=false", *SOURCES.get(experiment_id, [])]
    whole = command_line(*words).run
    begun = 0

    def stop(experiment: Any) -> None:
        nonlocal begun
        begun += 1
        if begun == passes:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patched:
        patched.setattr(BareExperiment, "on_dataset_start", stop)
        stopped = command_line(*words)
    if stopped.code == 0:
        pytest.skip("it does not train, or is over by then")
    assert stopped.code == 143, stopped.err
    resumed = command_line("resume", "last")
    assert resumed.run == stopped.runs[-1] != whole
    assert kept(resumed.run, tree) == kept(whole, tree)
