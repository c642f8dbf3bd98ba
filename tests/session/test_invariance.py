"""What only looks at a training does not change it: the raw weights are the same, bit for bit, whatever is on."""

from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from labwright import Hook, RunOptions
from labwright.models import MLPArgs
from labwright.runs.terminal import Terminal
from labwright.train import restore_state


def raw_weights(experiment: Any, options: RunOptions, terminal: Terminal | None) -> dict[str, torch.Tensor]:
    result = experiment.run(options, terminal=terminal)
    return restore_state(result.checkpoints["last"])["model"]


@pytest.fixture
def weights(make: Callable[..., Any], points: Any) -> Callable[..., dict[str, torch.Tensor]]:
    """The raw weights after two epochs with dropout and input noise, with some things on and the rest off."""

    class Greedy(Hook[Any]):
        """Draws random numbers of its own wherever it may."""

        def on_dataset_end(self, loop: Any) -> None:
            torch.rand(3)

        def on_epoch_end(self, loop: Any) -> None:
            torch.rand(5)

    def run(
        *,
        val: bool = False,
        ema: bool = False,
        plots: bool = False,
        tracker: bool = False,
        progress: bool = False,
        hook: bool = False,
        probabilities: bool = False,
        log_every_n_steps: int = 50,
    ) -> dict[str, torch.Tensor]:
        class Varied(points):
            def build_datasets(self) -> Any:
                from dataclasses import replace

                splits = super().build_datasets()
                return splits if val else replace(splits, val={})

            def build_hooks(self) -> list[Hook[Any]]:
                return [Greedy()] if hook else []

            def plot(self, run: Any, predictions: Any) -> Any:
                return super().plot(run, predictions) if plots else []

        experiment = make(
            Varied,
            model=MLPArgs(hidden_sizes=[4], dropout=0.2),
            white_noise_sd=0.1,
            ema_decay=0.9 if ema else None,
            batch_size=16,
        )
        options = RunOptions(
            use_tensorboard=tracker,
            batch_histograms=plots,
            predictions="all" if plots else "none",
            probabilities=probabilities,
            log_every_n_steps=log_every_n_steps,
        )
        return raw_weights(experiment, options, Terminal(StringIO()) if progress else None)

    return run


switches = st.fixed_dictionaries(
    {name: st.booleans() for name in ("val", "ema", "tracker", "progress", "hook", "probabilities")}
    | {"log_every_n_steps": st.sampled_from([1, 3, 50])}
)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*Event loop is closed")
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(on=switches)
def test_raw_weights_do_not_depend_on_what_watches(
    weights: Callable[..., dict[str, torch.Tensor]], monkeypatch: pytest.MonkeyPatch, on: dict[str, Any]
) -> None:
    monkeypatch.setattr("labwright.session.recorder.plot_history", lambda *args, **kwargs: None)
    plain, watched = weights(), weights(**on)
    assert plain.keys() == watched.keys()
    assert all(torch.equal(plain[name], watched[name]) for name in plain)


def test_raw_weights_do_not_depend_on_plots(weights: Callable[..., dict[str, torch.Tensor]]) -> None:
    plain, drawn = weights(), weights(plots=True, val=True, ema=True)
    assert all(torch.equal(plain[name], drawn[name]) for name in plain)
