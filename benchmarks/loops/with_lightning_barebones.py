"""Lightning with `barebones=True`: no progress bar, logger, checkpoints or `self.log`; the module adds up by itself."""

import lightning
import torch
from bare_dataloader import loaders
from torch import Tensor
from torch.nn import functional as F
from work import LEARNING_RATE, Clock, Epoch, Work


class Classifier(lightning.LightningModule):
    def __init__(self, work: Work, clock: Clock) -> None:
        super().__init__()
        self.model = work.model()
        self.clock = clock
        self.epochs: list[Epoch] = []
        self.sums: dict[str, list[float]] = {}

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._measured("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measured("val", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    def on_train_epoch_start(self) -> None:
        self.sums = {"train": [0.0, 0, 0], "val": [0.0, 0, 0]}
        self.clock.mark()

    def on_train_epoch_end(self) -> None:
        (total, correct, count), (val_total, val_correct, num_val) = self.sums["train"], self.sums["val"]
        self.epochs.append(Epoch(total / count, correct / count, val_total / num_val, val_correct / num_val))

    def on_train_end(self) -> None:
        self.clock.mark()

    def _measured(self, split: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        logits = self.model(x)
        loss = F.cross_entropy(logits, y)
        sums = self.sums[split]
        sums[0] += loss.item() * len(y)
        sums[1] += (logits.argmax(1) == y).sum().item()
        sums[2] += len(y)
        return loss


def train(work: Work, clock: Clock) -> list[Epoch]:
    loader, val_loader = loaders(work)
    classifier = Classifier(work, clock)
    lightning.Trainer(max_epochs=work.num_epochs, barebones=True).fit(classifier, loader, val_loader)
    return classifier.epochs
