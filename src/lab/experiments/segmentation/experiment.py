"""How the segmentation experiment trains: a loss of pixels, and what was found laid over the images."""

from pathlib import Path

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from labwright import Experiment
from labwright.args import UserError
from labwright.datasets import Splits, get_sample
from labwright.runs import RunDirectory
from labwright.runs.plots import plot_overlay
from labwright.session import Predictions
from labwright.train import Batch, Loss

from .args import SegmentationArgs


class Segmentation(Experiment[SegmentationArgs]):
    """Classifies each pixel by cross-entropy."""

    def build_datasets(self) -> Splits:
        splits = super().build_datasets()
        if splits.task != "segmentation":
            raise UserError(f"segmentation trains on masks of classes, and {splits.name} is a {splits.task}")
        return splits

    def compute_loss(self, batch: Batch) -> Loss:
        logits = self.forward(batch)
        return Loss(F.cross_entropy(logits, batch["target"]), {"logits": logits}, len(batch["index"]))

    def predict_batch(self, batch: Batch) -> dict[str, Tensor]:
        """The class of every pixel and, where it is known, the share of wrong ones in each image."""
        with self.stepper.forward(self.model):
            mask = self.forward(batch).argmax(dim=1)
        if "target" not in batch:
            return {"prediction": mask}
        return {"prediction": mask, "wrong": (mask != batch["target"]).flatten(1).float().mean(dim=1)}

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """masks_<split>.png, and every mask that was found as artifacts/masks_<split>.npy."""
        for split, found in predictions.items():
            self.store(f"masks_{split}", found.columns["prediction"].astype(np.uint8))
        known = {split: found for split, found in predictions.items() if "target" in found.columns}
        return [self._plot_split(run, split, found) for split, found in known.items()]

    def _plot_split(self, run: RunDirectory, split: str, found: Predictions) -> Path:
        columns, path = found.columns, run.path / f"masks_{split}.png"
        images = np.stack([get_sample(found.dataset, int(index))["input"].numpy() for index in columns["index"]])
        plot_overlay(
            images,
            columns["target"],
            columns["prediction"],
            self.splits.class_names,
            path,
            f"{self.args.experiment_id}: {self.splits.name}, {split}",
        )
        return path
