"""Hugging Face Trainer: its fused AdamW without decay, evaluation and a checkpoint after each epoch, progress bar.

Left out are what the others do not do either: clipping of gradients, and a schedule of the learning rate.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import Dataset
from transformers import EvalPrediction, Trainer, TrainerCallback, TrainingArguments
from work import LEARNING_RATE, Clock, Epoch, Work


class Samples(Dataset):
    def __init__(self, inputs: Tensor, targets: Tensor) -> None:
        self.inputs, self.targets = inputs, targets

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> dict[str, Tensor]:
        return {"x": self.inputs[index], "labels": self.targets[index]}


class Classifier(nn.Module):
    """Gives its loss, as the Trainer wants it, and adds up how training goes, which the Trainer does not."""

    def __init__(self, work: Work) -> None:
        super().__init__()
        self.model = work.model()
        self.total, self.correct, self.count = 0.0, 0, 0

    def forward(self, x: Tensor, labels: Tensor) -> dict[str, Tensor]:
        logits = self.model(x)
        loss = F.cross_entropy(logits, labels)
        if self.training:
            self.total += loss.item() * len(labels)
            self.correct += (logits.argmax(1) == labels).sum().item()
            self.count += len(labels)
        return {"loss": loss, "logits": logits}


class Marks(TrainerCallback):
    def __init__(self, model: Classifier, clock: Clock) -> None:
        self.model, self.clock = model, clock
        self.epochs: list[Epoch] = []

    def on_epoch_begin(self, *args: object, **kwargs: object) -> None:
        self.model.total, self.model.correct, self.model.count = 0.0, 0, 0
        self.clock.mark()

    def on_evaluate(self, *args: object, metrics: dict[str, float], **kwargs: object) -> None:
        count = self.model.count
        training = self.model.total / count, self.model.correct / count
        self.epochs.append(Epoch(*training, metrics["eval_loss"], metrics["eval_accuracy"]))

    def on_train_end(self, *args: object, **kwargs: object) -> None:
        self.clock.mark()


def train(work: Work, clock: Clock) -> list[Epoch]:
    inputs, targets, val_inputs, val_targets = work.float_sets()
    model = Classifier(work)
    marks = Marks(model, clock)
    settings = TrainingArguments(
        output_dir="trainer_output",
        per_device_train_batch_size=work.batch_size,
        per_device_eval_batch_size=work.batch_size,
        num_train_epochs=work.num_epochs,
        learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant",
        max_grad_norm=0.0,
        eval_strategy="epoch",
        save_strategy="epoch",
        report_to="none",
        use_cpu=True,
    )
    training, val = Samples(inputs, targets), Samples(val_inputs, val_targets)
    trainer = Trainer(model, settings, train_dataset=training, eval_dataset=val, compute_metrics=_accuracy)
    trainer.add_callback(marks)
    trainer.train()
    return marks.epochs


def _accuracy(prediction: EvalPrediction) -> dict[str, float]:
    correct = prediction.predictions.argmax(1) == prediction.label_ids
    return {"accuracy": float(torch.from_numpy(correct).float().mean())}
