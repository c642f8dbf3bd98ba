"""How the denoising experiment trains: a `forward` that gives a dict, its keys read by the loss and the metrics."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lab.datasets.unit_range import in_unit_range
from labwright import Experiment
from labwright.datasets import Dataset, Splits, get_sample, map_dataset
from labwright.runs import RunDirectory
from labwright.runs.plots import plot_image_rows
from labwright.session import Predictions
from labwright.train import Batch, RoutedForward, derive_seed

from .args import DenoisingArgs

_NUM_SHOWN = 10


class Denoising(RoutedForward, Experiment[DenoisingArgs]):
    """Finds the noise and takes it away (Zhang et al., 2017)."""

    def build_datasets(self) -> Splits:
        """Noise is added to training inputs by `--white_noise_sd`, so their targets are all there is to prepare."""
        splits = in_unit_range(super().build_datasets())
        add_noise = partial(with_fixed_noise, sd=self.args.eval_noise_sd)
        add_more_noise = partial(with_fixed_noise, sd=2 * self.args.eval_noise_sd)
        noisier = {f"{name}_noisier": dataset for name, dataset in _each(splits.val, add_more_noise).items()}
        return replace(
            splits,
            train=_each(splits.train, with_itself_as_target),
            val=_each(splits.val, add_noise) | noisier,
            test=_each(splits.test, add_noise),
            name=f"noisy {splits.name}",
            task="regression",
            num_outputs=splits.input_shape[0],
            class_names=(),
            demo_only=tuple(noisier),
        )

    def forward(self, batch: Batch) -> dict[str, Tensor]:
        return {"prediction": batch["input"] - self.model(batch["input"])}

    def criterion(self, prediction: Tensor, target: Tensor) -> Tensor:
        return F.mse_loss(prediction, target)

    def predict_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The clean images and, where these are known, the PSNR of each image before and after."""
        predicted = super().predict_batch(batch)
        if "target" in batch:
            clean = batch["target"]
            predicted |= {"noisy_psnr": psnr(batch["input"], clean), "psnr": psnr(predicted["prediction"], clean)}
        return predicted

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """denoised_<split>.png, and every denoised image as artifacts/denoised_<split>.npy."""
        return [self._plot_split(run, split, found) for split, found in predictions.items()]

    def _plot_split(self, run: RunDirectory, split: str, found: Predictions) -> Path:
        columns = found.columns
        self.store(f"denoised_{split}", columns["prediction"])
        indices = columns["index"][:_NUM_SHOWN]
        noisy = np.stack([get_sample(found.dataset, int(index))["input"].numpy() for index in indices])
        rows = {"Noisy": noisy, "Denoised": columns["prediction"][:_NUM_SHOWN]}
        notes = {}
        if "target" in columns:
            rows = {"Clean": columns["target"][:_NUM_SHOWN], **rows}
            notes = {"Noisy": _decibels(columns["noisy_psnr"]), "Denoised": _decibels(columns["psnr"])}
        path = run.path / f"denoised_{split}.png"
        plot_image_rows(rows, path, f"{self.args.experiment_id}: {self.splits.name}, {split}", notes=notes)
        return path


def with_itself_as_target(batch: Batch) -> Batch:
    """The images to be found again, instead of their classes."""
    return {**batch, "target": batch["input"]}


def with_fixed_noise(batch: Batch, sd: float) -> Batch:
    """The images to be found again, and inputs with noise that depends on the sample alone."""
    clean: Tensor = batch["input"]
    noise = torch.stack([_noise(clean.shape[1:], index) for index in batch["index"].tolist()])
    return {**batch, "input": clean + sd * noise, "target": clean}


def _noise(shape: torch.Size, index: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(derive_seed(index, "noise")))


def psnr(images: Tensor, clean: Tensor) -> Tensor:
    """The peak signal-to-noise ratio of each image in decibels, white being 1."""
    return -10 * (images - clean).square().flatten(1).mean(dim=1).log10()


def _each(sets: dict[str, Dataset], function: Callable[[Batch], Batch]) -> dict[str, Dataset]:
    return {name: map_dataset(dataset, function) for name, dataset in sets.items()}


def _decibels(values: np.ndarray) -> list[str]:
    return [f"{value:.1f} dB" for value in values[:_NUM_SHOWN]]
