"""A generator and a critic take their steps in one batch, each with an optimizer of its own."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import Optimizer

from lab.experiments.digits_gan.args import DigitsGanArgs
from lab.experiments.digits_gan.experiment import DigitsGan, MaximumMeanDiscrepancy
from labwright import MachineConfig
from labwright.models import MLPArgs
from labwright.train import Batch, Loss


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Any]:
    def make(kind: type[DigitsGan] = DigitsGan, **fields: Any) -> DigitsGan:
        small = MLPArgs(hidden_sizes=[16])
        quick = {"epochs": 1, "generator": small, "critic": small, "batch_size": 32, "limit_train_samples": 200}
        return kind(DigitsGanArgs(**quick | fields), MachineConfig(results_dir=tmp_path / "results", use_cuda=False))

    return make


def test_debug_run_draws_samples_and_keeps_them(command_line: Callable[..., Any]) -> None:
    ended = command_line("--experiment_id=digits_gan", "--debug", "--use_cuda=false")
    assert (ended.run / "samples.png").is_file() and (ended.run / "training.png").is_file()
    samples = np.load(ended.run / "artifacts" / "samples.npy")
    assert samples.shape == (100, 1, 8, 8) and 0 <= samples.min() and samples.max() <= 1
    assert ended.test.keys() == {"loss", "critic_loss", "generator_loss", "mmd"}
    assert ended.record["result"]["best_metric"] == "val/mmd"


@pytest.mark.usefixtures("no_pictures")
def test_metrics_of_its_own_choice_are_refused(command_line: Callable[..., Any]) -> None:
    error = command_line("--experiment_id=digits_gan", '--metrics={"regression": ["mse"]}').error
    assert "digits_gan does not use it" in error


@pytest.mark.slow
def test_made_digits_come_close_to_real_ones(make: Callable[..., Any]) -> None:
    network = MLPArgs(hidden_sizes=[128, 128])
    gan = make(epochs=40, generator=network, critic=network, batch_size=64, limit_train_samples=None)
    assert gan.run().test["mmd"] < 0.1  # 0.8 before training


def test_another_run_that_tests_the_weights_finds_the_same(make: Callable[..., Any]) -> None:
    """Random noise would make every test of a generator come out differently."""
    trained = make().run()
    tested = make(epochs=0, from_checkpoint=str(trained.run_dir)).run()
    assert tested.test == trained.test


@pytest.mark.parametrize("settings", [{}, {"gradient_clipping": 0.1}, {"ema_decay": None}, {"precision": "bf16"}])
def test_both_optimizers_step_under_accumulation(make: Callable[..., Any], settings: dict[str, Any]) -> None:
    gan = make(accumulate_batches=3, **settings)  # 7 batches: windows of 3, 3 and 1
    gan.run()
    for name in ("generator", "critic"):
        optimizer: Optimizer = gan.optimizers[name]
        parameters = list(gan.model.get_submodule(name).parameters())
        assert [int(optimizer.state[parameter]["step"]) for parameter in parameters] == [3] * len(parameters)


def test_generators_loss_leaves_no_gradient_in_the_critic(make: Callable[..., Any]) -> None:
    class Watched(DigitsGan):
        """Sees the critic's gradients before and after the generator's turn, within a window."""

        num_compared = 0

        def train_batch(self, batch: Batch) -> Loss:
            update = self.stepper.update

            def watched(loss: torch.Tensor, optimizer: Optimizer, **options: Any) -> bool:
                before = self.critic_gradients()
                is_applied = update(loss, optimizer, **options)
                if optimizer is self.optimizers["generator"] and before:
                    assert all(map(torch.equal, before, self.critic_gradients()))
                    self.num_compared += 1
                return is_applied

            self.stepper.update = watched
            try:
                return super().train_batch(batch)
            finally:
                self.stepper.update = update

        def critic_gradients(self) -> list[torch.Tensor]:
            gradients = [parameter.grad for parameter in self.model.get_submodule("critic").parameters()]
            return [gradient.clone() for gradient in gradients if gradient is not None]

    gan = make(Watched, accumulate_batches=7)
    gan.run()
    assert gan.num_compared == 6  # the last batch closes the critic's window before the generator's turn


def test_critics_loss_leaves_the_generator_alone(make: Callable[..., Any]) -> None:
    class CriticOnly(DigitsGan):
        def build_optimizers(self) -> dict[str, Optimizer]:
            optimizers = super().build_optimizers()
            optimizers["generator"] = torch.optim.SGD(self.model.get_submodule("generator").parameters(), lr=0.0)
            return optimizers

        def on_experiment_start(self) -> None:
            super().on_experiment_start()
            self.before = [parameter.clone() for parameter in self.model.get_submodule("generator").parameters()]

    gan = make(CriticOnly, ema_decay=None)
    gan.run()
    assert all(map(torch.equal, gan.before, gan.model.get_submodule("generator").parameters()))


class TestMaximumMeanDiscrepancy:
    def measure(self, made: torch.Tensor, real: torch.Tensor, batch_size: int = 16) -> float:
        metric = MaximumMeanDiscrepancy()
        for some_made, some_real in zip(made.split(batch_size), real.split(batch_size), strict=True):
            metric.update({"made": some_made}, {"input": some_real}, len(some_made))
        return metric.compute()

    @pytest.mark.parametrize("batch_size", [7, 40])
    def test_it_is_the_formula_whatever_the_batches(self, batch_size: int) -> None:
        made, real = torch.randn(2, 40, 3, generator=torch.Generator().manual_seed(0)).double()
        made = made + 0.5
        n = len(real)
        pairs = [(i, j) for i in range(n) for j in range(n) if i != j]
        median = torch.stack([(real[i] - real[j]).square().sum() for i, j in pairs]).median()

        def kernel(x: torch.Tensor, y: torch.Tensor) -> float:
            return math.exp(-float((x - y).square().sum() / median))

        within = sum(kernel(each[i], each[j]) for each in (made, real) for i, j in pairs) / (n * (n - 1))
        between = sum(kernel(x, y) for x in made for y in real) / n**2
        assert self.measure(made, real, batch_size) == pytest.approx(within - 2 * between, abs=1e-5)

    def test_it_is_about_zero_for_the_same_and_one_sample_has_none(self) -> None:
        same, other = torch.randn(2, 500, 4, generator=torch.Generator().manual_seed(0))
        assert abs(self.measure(same, other)) < 0.01 < 0.5 < self.measure(same, other + 3)
        assert math.isnan(self.measure(same[:1], other[:1]))
