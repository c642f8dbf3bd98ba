"""How the self_training experiment trains: pseudo-labels in `prepare_batch`, their loss in `compute_loss`."""

import math
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import torch
from torch.nn import functional as F

from labwright import Experiment
from labwright.args import UserError
from labwright.datasets import Dataset, Splits, TensorDataset, ZippedDataset, map_dataset, split_indices
from labwright.datasets.splits import input_shape
from labwright.runs import RunDirectory
from labwright.session import Predictions
from labwright.train import Batch, Loss, add_noise, derive_seed

from .args import SelfTrainingArgs


class SelfTraining(Experiment[SelfTrainingArgs]):
    """Pseudo-labels (Lee, 2013) by an averaged teacher (Tarvainen & Valpola, 2017), to be found again under noise.

    Only what the teacher is confident of counts (Sohn et al., 2020). The true labels of the samples called unlabelled
    serve to say how many of the pseudo-labels are right, and nothing else.
    """

    def build_datasets(self) -> Splits:
        """Labelled and unlabelled samples side by side; validation on the digits as they are, and under noise."""
        splits = super().build_datasets()
        digits = splits.train["train"]
        assert isinstance(digits, TensorDataset)
        few = self.args.num_labels
        if few >= len(digits):
            raise UserError(f"--num_labels={few:,} of {len(digits):,} training samples leaves none unlabelled")
        unlabelled, labelled = split_indices(digits.targets.numpy(), [few / len(digits)], self.args.dataset.split_seed)
        train = ZippedDataset(train=digits.subset(labelled), unlabelled=digits.subset(unlabelled))
        noisy = {f"{name}_noisy": self.with_noise(dataset) for name, dataset in splits.val.items()}
        name = f"{splits.name}, {few} of {len(digits):,} labelled"
        return replace(splits, train={"train": train}, val=splits.val | noisy, name=name)

    def with_noise(self, dataset: Dataset) -> Dataset:
        """The same samples under noise that is the same in each epoch and run."""
        generator = torch.Generator().manual_seed(derive_seed(self.args.dataset.split_seed, "noise"))
        noise = self.args.val_noise_sd * torch.randn(len(dataset), *input_shape(dataset), generator=generator)

        def add(batch: Batch) -> Batch:
            return batch | {"input": batch["input"] + noise[batch["index"]]}

        return map_dataset(dataset, add)

    def prepare_batch(self, batch: Batch, *, training: bool) -> Batch:
        """The batch on the device; in training with the teacher's labels, and with noise for the student."""
        batch = super().prepare_batch(batch, training=training)
        if not training:
            return batch
        label, confidence = self.ask_teacher(batch["unlabelled_input"])
        used = confidence >= self.args.confidence
        right = used & (label == batch["unlabelled_target"])
        self.batch_metrics |= {"pseudo_share": used.float().mean(), "pseudo_right": right.float().mean()}
        noisy = add_noise(batch["unlabelled_input"], self.args.white_noise_sd, self.args.constant_offset_sd)
        return batch | {"unlabelled_input": noisy, "pseudo_label": label, "is_used": used}

    @torch.no_grad()
    def ask_teacher(self, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The likeliest class of each input and its probability, by the average of the student's weights."""
        self.model.eval()
        with self.ema.applied(self.model) if self.ema else nullcontext(), self.stepper.forward(self.model):
            confidence, label = self.model(inputs).softmax(dim=-1).max(dim=-1)
        self.model.train()
        return label, confidence

    def compute_loss(self, batch: Batch) -> Loss:
        """Cross-entropy on the labels; in training also on the pseudo-labels that are used."""
        loss = super().compute_loss(batch)
        if "pseudo_label" not in batch:
            return loss
        each = F.cross_entropy(self.model(batch["unlabelled_input"]), batch["pseudo_label"], reduction="none")
        return loss._replace(value=loss.value + self.args.pseudo_weight * (each * batch["is_used"]).mean())

    def on_dataset_end(self) -> None:
        """Keep how many pseudo-labels this pass used, and how many of those are right."""
        if "pseudo_share" not in self.dataset_metrics:
            return
        share, right = self.dataset_metrics["pseudo_share"], self.dataset_metrics.pop("pseudo_right")
        accuracy = self.dataset_metrics["pseudo_accuracy"] = right / share if share else math.nan
        self.append("pseudo_labels", {"epoch": self.epoch, "share": share, "accuracy": accuracy})

    def plot(self, run: RunDirectory, predictions: dict[str, Predictions]) -> list[Path]:
        """pseudo_labels.png, besides the pictures of any classifier."""
        from labwright.runs.plots import plot_curve

        drawn = super().plot(run, predictions)
        rows = self.artifacts.rows.get("pseudo_labels", [])
        if not rows:
            return drawn
        path = run.path / "pseudo_labels.png"
        plot_curve(
            {"used": [row["share"] for row in rows], "right, of those used": [row["accuracy"] for row in rows]},
            path,
            "What the teacher's labels are worth",
            subtitle=self.splits.name,
            x_label="Epoch",
            y_label="Share",
        )
        return [*drawn, path]
