"""A chain of runs, each made from what the one before it left: fifty labelled digits, and 1,208 without a label.

    teacher      learns from the labelled digits
    labels       the teacher predicts the others: predictions/unlabelled.csv
    student      learns, through noise, what the teacher was sure of; returns the average of its weights
    fine-tuned   the student goes back to the labelled digits

Run it with `python src/lab/wild_west/teacher_student.py`; the four run directories are in results/few_labels/.
"""

import csv
from dataclasses import replace
from pathlib import Path

import torch
from pydantic import Field

from labwright import Experiment, ExperimentArgs, MachineConfig, run
from labwright.datasets import DigitsDataArgs, Splits, TensorDataset, split_indices
from labwright.models import CNNArgs
from labwright.optimizers import AdamArgs


class FewLabelsArgs(ExperimentArgs):
    """Handwritten digits of which few are labelled; with --mode=predict, the others are what is predicted."""

    num_labels: int = Field(default=50, ge=1, description="Training samples that keep their label.")
    pseudo_labels: Path | None = Field(default=None, description="Predictions to train on in place of the labels.")
    confidence: float = Field(default=0.6, ge=0, le=1, description="How sure of a prediction its model must have been.")
    model: CNNArgs = Field(default=CNNArgs(), description="The classifier.")
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs(), description="The digits.")
    optimizer: AdamArgs = Field(default=AdamArgs(learning_rate=3e-3), description="What updates the weights.")

    def build(self, machine: MachineConfig) -> "FewLabels":
        return FewLabels(self, machine)


class FewLabels(Experiment[FewLabelsArgs]):
    """Any classifier, but for its data."""

    def build_datasets(self) -> Splits:
        args, splits = self.args, super().build_datasets()
        digits = splits.train["train"]
        assert isinstance(digits, TensorDataset)
        others, few = split_indices(digits.targets.numpy(), [args.num_labels / len(digits)], args.dataset.split_seed)
        train, unlabelled = digits.subset(few), digits.subset(others)
        if self.options.stage == "predict":
            return replace(splits, train={"train": train}, test={"unlabelled": unlabelled.without_targets()})
        if args.pseudo_labels is not None:
            train = labelled_by(args.pseudo_labels, unlabelled, args.confidence)
        return replace(splits, train={"train": train})


def labelled_by(predictions: Path, dataset: TensorDataset, confidence: float) -> TensorDataset:
    """The samples that were predicted with enough confidence, the prediction as their target."""
    with predictions.open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if float(row["confidence"]) >= confidence]
    chosen = dataset.subset([int(row["index"]) for row in rows])
    chosen.targets = torch.tensor([int(row["prediction"]) for row in rows])
    return chosen


def main(epochs: int = 30) -> dict[str, float]:
    """The test accuracy of each model of the chain."""
    through_noise = {"epochs": epochs, "white_noise_sd": 1.0, "ema_decay": 0.99, "ema_warmup_steps": 100}
    teacher = run(FewLabelsArgs, {"epochs": epochs})
    labels = run(FewLabelsArgs, {"mode": "predict", "from_checkpoint": teacher.run_dir})
    student = run(FewLabelsArgs, through_noise | {"pseudo_labels": labels.run_dir / "predictions" / "unlabelled.csv"})
    fine_tuned = run(
        FewLabelsArgs, through_noise | {"from_checkpoint": student.run_dir, "optimizer.learning_rate": 1e-4}
    )
    results = {"teacher": teacher, "student": student, "fine-tuned": fine_tuned}
    print(f"{'':10}  test accuracy  run directory")
    for name, result in results.items():
        print(f"{name:10}  {result.test['accuracy']:13.4f}  {result.run_dir}")
    return {name: result.test["accuracy"] for name, result in results.items()}


if __name__ == "__main__":
    main()
