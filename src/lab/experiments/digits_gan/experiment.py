"""How the digits_gan experiment trains: two optimizers in one `train_batch`."""

import math
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer

from lab.datasets.unit_range import in_unit_range
from labwright import Experiment
from labwright.datasets import Splits
from labwright.metrics import Metric, WeightedMean
from labwright.runs import RunDirectory
from labwright.runs.plots import plot_image_grid, plot_image_rows
from labwright.session import Predictions
from labwright.train import Batch, Loss, derive_seed, frozen

from .args import DigitsGanArgs

_NUM_SAMPLES = 100
_NUM_COLUMNS = 10


class DigitsGan(Experiment[DigitsGanArgs]):
    """Goodfellow et al. (2014), with the penalty of Mescheder et al. (2018) that keeps the critic's slope small."""

    uses = Experiment.uses - {"metrics", "metric_inputs", "threshold_metric"}
    samples_by_epoch: dict[int, np.ndarray]
    """What the generator made of the same noise after each epoch."""

    def build_parts(self) -> None:
        super().build_parts()
        self.samples_by_epoch = {}

    def build_datasets(self) -> Splits:
        return in_unit_range(super().build_datasets())

    def build_model(self) -> nn.Module:
        args, shape = self.args, self.splits.input_shape
        make_pixels = args.generator.build((args.noise_size,), prod(shape))
        generator = nn.Sequential(make_pixels, nn.Unflatten(1, shape), nn.Sigmoid())
        return nn.ModuleDict({"generator": generator, "critic": args.critic.build(shape, 1)})

    def build_optimizers(self) -> dict[str, Optimizer]:
        """The generator's is the first: the average of the weights follows its steps."""
        parts = {"generator": self.args.generator_optimizer, "critic": self.args.critic_optimizer}
        return {name: part.build(part.param_groups(self.model.get_submodule(name))) for name, part in parts.items()}

    def build_metrics(self) -> list[Metric]:
        return [WeightedMean("critic_loss"), WeightedMean("generator_loss"), MaximumMeanDiscrepancy()]

    def train_batch(self, batch: Batch) -> Loss:
        """A step of the critic on real and made digits, then one of the generator against that critic."""
        generator, critic = self.model.get_submodule("generator"), self.model.get_submodule("critic")
        num_samples = len(batch["index"])
        with self.stepper.forward(self.model):
            made = generator(torch.randn(num_samples, self.args.noise_size, device=self.device))
            critic_loss, penalty = self.parallel(self.judge, batch["input"], made.detach())
        self.stepper.update(critic_loss + penalty, self.optimizers["critic"], weight=num_samples)
        with self.stepper.forward(self.model), frozen(critic):
            generator_loss = self.parallel(lambda: generator_loss_of(critic(made)))
        self.stepper.update(generator_loss, self.optimizers["generator"], weight=num_samples)
        return losses(critic_loss, generator_loss, made, num_samples).detach()

    def judge(self, real: Tensor, made: Tensor) -> tuple[Tensor, Tensor]:
        """The critic's loss, and what its slope costs."""
        critic = self.model.get_submodule("critic")
        says_real = critic(real.requires_grad_())
        penalty = self.args.gradient_penalty / 2 * squared_gradient(says_real, real)
        return critic_loss_of(says_real, critic(made)), penalty

    def eval_batch(self, batch: Batch) -> Loss:
        generator, critic = self.model.get_submodule("generator"), self.model.get_submodule("critic")
        num_samples = len(batch["index"])
        with self.stepper.forward(self.model):
            made = generator(self.fixed_noise(num_samples, self.dataset_name, int(batch["index"][0])))
            says_made = critic(made)
            critic_loss = critic_loss_of(critic(batch["input"]), says_made)
            return losses(critic_loss, generator_loss_of(says_made), made, num_samples)

    def predict_batch(self, batch: Batch) -> dict[str, Tensor]:
        return {}

    def fixed_noise(self, num_samples: int, *purpose: str | int) -> Tensor:
        """What digits are made of; for a purpose the same in every epoch, so that epochs can be compared."""
        generator = torch.Generator().manual_seed(derive_seed(self.args.seed, *purpose))
        return torch.randn(num_samples, self.args.noise_size, generator=generator).to(self.device)

    def on_epoch_end(self) -> None:
        with self.averaged_model():
            self.samples_by_epoch[self.epoch] = self.make_samples()

    def state_dict(self) -> dict[str, Any]:
        """With the samples, so that a run that is resumed draws them all."""
        samples = {epoch: torch.from_numpy(made) for epoch, made in self.samples_by_epoch.items()}
        return super().state_dict() | {"samples_by_epoch": samples}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        super().load_state_dict(state)
        self.samples_by_epoch = {epoch: made.numpy() for epoch, made in state["samples_by_epoch"].items()}

    def make_samples(self) -> np.ndarray:
        """Digits of noise that is always the same."""
        noise = self.fixed_noise(_NUM_SAMPLES, "samples")
        self.model.eval()
        with torch.inference_mode():
            return self.model.get_submodule("generator")(noise).cpu().numpy()

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """samples.png: what the returned generator makes; training.png: how it came to that."""
        samples = self.make_samples()
        self.store("samples", samples)
        path = run.path / "samples.png"
        title = f"{self.args.experiment_id}: digits that nobody wrote"
        plot_image_grid(samples, path, title, num_columns=_NUM_COLUMNS)
        return [path, *self._plot_training(run)]

    def _plot_training(self, run: RunDirectory) -> list[Path]:
        """Of epochs ever further apart, since most happens at the beginning."""
        if not self.samples_by_epoch:
            return []
        path = run.path / "training.png"
        last = max(self.samples_by_epoch)
        shown = sorted({min(last, round(last ** (step / 6))) for step in range(7)})
        rows = {f"epoch {epoch}": self.samples_by_epoch[epoch][:_NUM_COLUMNS] for epoch in shown}
        title = f"{self.args.experiment_id}: how the digits came about"
        plot_image_rows(rows, path, title, subtitle="A column is made of the same noise throughout")
        return [path]


def critic_loss_of(says_real: Tensor, says_made: Tensor) -> Tensor:
    """Cross-entropy of the critic's logits: real digits are to be called real, made ones not."""
    return F.softplus(-says_real).mean() + F.softplus(says_made).mean()


def generator_loss_of(says_made: Tensor) -> Tensor:
    """Cross-entropy if made digits were real: the generator is to be taken for that."""
    return F.softplus(-says_made).mean()


def squared_gradient(says_real: Tensor, real: Tensor) -> Tensor:
    """The mean over samples of the critic's squared slope at real digits, in a graph of its own."""
    (slope,) = torch.autograd.grad(says_real.sum(), real, create_graph=True)
    return slope.square().flatten(1).sum(dim=1).mean()


def losses(critic_loss: Tensor, generator_loss: Tensor, made: Tensor, num_samples: int) -> Loss:
    """Both, their sum, and the digits made."""
    outputs = {"critic_loss": critic_loss, "generator_loss": generator_loss, "made": made}
    return Loss(critic_loss + generator_loss, outputs, num_samples)


class MaximumMeanDiscrepancy(Metric):
    """How far made digits are from real ones: the unbiased estimate of the squared MMD (Gretton et al., 2012).

    About 0, and then also below, where they cannot be told apart. The kernel is exp(-|x - y|^2 / m), with m the median
    of |x - y|^2 between real digits.
    """

    name = "mmd"
    higher_is_better = False

    def __init__(self) -> None:
        self._made: list[Tensor] = []
        self._real: list[Tensor] = []

    def update(self, outputs: Mapping[str, Tensor], batch: Mapping[str, Any], weight: float) -> None:
        real = batch["input"].detach().flatten(1)
        self._made.append(outputs["made"].detach().flatten(1).to(real.dtype))
        self._real.append(real)

    def compute(self) -> float:
        made, real = torch.cat(self._made), torch.cat(self._real)
        n = len(real)
        if n < 2:
            return math.nan
        between_real, between_made = torch.cdist(real, real).square(), torch.cdist(made, made).square()
        median = between_real[~torch.eye(n, dtype=torch.bool, device=real.device)].median()
        within = sum((torch.exp(-each / median).sum() - n) / (n * (n - 1)) for each in (between_real, between_made))
        return float(within - 2 * torch.exp(-torch.cdist(made, real).square() / median).mean())
