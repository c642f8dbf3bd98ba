"""The learning rate finder: what it finds on problems whose answer is known, and that it leaves no trace."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from labwright import UserError
from labwright.args.tools import LrFindOptions
from labwright.bare import BareExperiment
from labwright.datasets import Splits, TensorDataset
from labwright.schedulers import OneCycleArgs
from labwright.session.tools import find_learning_rate
from labwright.session.tools.learning_rates import smooth
from labwright.train import Loss


@pytest.fixture
def bowl(points: Any) -> Any:
    """|x - noise|^2 / 2 in place of a loss, from a start far away: SGD diverges where the rate is above 2."""

    class Bowl(points):
        def build_model(self) -> Any:
            model = torch.nn.Linear(4, 4, bias=False)
            torch.nn.init.constant_(model.weight, 10.0)
            return model

        def compute_loss(self, batch: Any) -> Loss:
            return Loss((self.model.weight - torch.randn(4, 4)).square().sum() / 2, {}, len(batch["index"]))

        def build_metrics(self) -> list[Any]:
            return []

    return Bowl


def test_the_rates_are_those_at_which_the_loss_falls_fastest_and_then_explodes(
    make: Callable[..., Any], bowl: Any
) -> None:
    sweep = find_learning_rate(make(bowl, batch_size=7), LrFindOptions(lowest_rate=1e-4, highest_rate=100))
    assert sweep.is_diverged and 2 < sweep.rates[-1] < 10
    assert np.allclose(np.diff(np.log(sweep.rates)), np.log(1e6) / 99)
    assert sweep.steepest is not None and sweep.tenth_of_minimum is not None
    assert 0.02 < sweep.steepest < 0.5
    assert 0.02 < sweep.tenth_of_minimum < 0.25
    assert sweep.rate_now == 0.1


def test_nothing_is_changed_and_the_same_is_found_again(make: Callable[..., Any], tmp_path: Path) -> None:
    experiment = make(epochs=1)
    experiment.run()
    before, numbers = dict(vars(experiment)), torch.get_rng_state()
    weights = {name: each.clone() for name, each in experiment.model.state_dict().items()}
    runs = [*(tmp_path / "results").rglob("*")]
    first, second = find_learning_rate(experiment), find_learning_rate(experiment)
    assert first == second
    assert vars(experiment) == before
    assert torch.equal(torch.get_rng_state(), numbers)
    assert all(torch.equal(weights[name], each) for name, each in experiment.model.state_dict().items())
    assert [*(tmp_path / "results").rglob("*")] == runs


def test_a_schedule_plays_no_part_and_groups_keep_their_proportion(make: Callable[..., Any], points: Any) -> None:
    seen: list[list[float]] = []

    class TwoRates(points):
        def build_optimizer(self) -> torch.optim.Optimizer:
            first, *others = self.model.parameters()
            return torch.optim.SGD([{"params": [first], "lr": 0.2}, {"params": others, "lr": torch.tensor(0.1)}], lr=1)

        def train_batch(self, batch: Any) -> Loss:
            seen.append([float(group["lr"]) for group in self.optimizer.param_groups])
            return super().train_batch(batch)

    scheduler = OneCycleArgs()
    options = LrFindOptions(lowest_rate=1e-3, highest_rate=1e-1, sweep_steps=20)
    sweep = find_learning_rate(make(TwoRates, scheduler=scheduler), options)
    assert seen == [[pytest.approx(rate), pytest.approx(rate / 2)] for rate in sweep.rates]
    assert sweep.rate_now == pytest.approx(0.2)


def test_a_loss_that_does_not_fall_gives_no_suggestion(make: Callable[..., Any], points: Any) -> None:
    class Noise(points):
        def build_datasets(self) -> Splits:
            splits = super().build_datasets()
            generator = torch.Generator().manual_seed(1)
            noise = TensorDataset(
                torch.randn(60, 2, generator=generator), torch.randint(2, (60,), generator=generator), source=""
            )
            return Splits(train={"train": noise}, val=splits.val, task="classification", num_outputs=2, name="noise")

    sweep = find_learning_rate(make(Noise, batch_size=2), LrFindOptions(highest_rate=1e-3, sweep_steps=50))
    assert (sweep.steepest, sweep.tenth_of_minimum, sweep.is_diverged) == (None, None, False)


def test_a_loss_that_is_no_number_ends_the_sweep(make: Callable[..., Any], bowl: Any) -> None:
    class Cliff(bowl):
        def compute_loss(self, batch: Any) -> Loss:
            loss = super().compute_loss(batch)
            return loss._replace(value=loss.value * float("nan")) if self.position.step >= 40 else loss

    assert len(find_learning_rate(make(Cliff)).losses) == 40

    class Abyss(Cliff):
        def on_experiment_start(self) -> None:
            self.position.step = 38

    with pytest.raises(UserError, match="the loss is no number after 2 steps"):
        find_learning_rate(make(Abyss))


def test_what_does_not_train_batch_by_batch_is_refused(make: Callable[..., Any], points_args: Any) -> None:
    with pytest.raises(UserError, match="points does not train with PyTorch, batch by batch"):
        find_learning_rate(BareExperiment(points_args()))
    with pytest.raises(UserError, match="--epochs=0 trains nothing"):
        find_learning_rate(make(epochs=0))


def test_smoothing_shifts_nothing() -> None:
    line = [float(number) for number in range(100)]
    assert np.allclose(smooth(line)[15:85], line[15:85])
    assert smooth([3.0]).tolist() == [3.0]
