"""Lightning with its defaults: progress bar, logger, a checkpoint after each epoch; metrics by `self.log`."""

import lightning
import torch
from bare_dataloader import loaders
from torch import Tensor
from torch.nn import functional as F
from work import LEARNING_RATE, Clock, Epoch, Work


class Classifier(lightning.LightningModule):
    def __init__(self, work: Work) -> None:
        super().__init__()
        self.model = work.model()

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)

    def training_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> Tensor:
        return self._measured("train", batch)

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        self._measured("val", batch)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)

    def _measured(self, split: str, batch: tuple[Tensor, Tensor]) -> Tensor:
        x, y = batch
        logits = self(x)
        loss = F.cross_entropy(logits, y)
        accuracy = (logits.argmax(1) == y).float().mean()
        values = {f"{split}_loss": loss, f"{split}_accuracy": accuracy}
        self.log_dict(values, on_step=False, on_epoch=True, batch_size=len(y))
        return loss


class Marks(lightning.Callback):
    """Marks the epochs, and keeps what each came to."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.epochs: list[Epoch] = []

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._close_epoch(trainer)
        self.clock.mark()

    def on_train_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._close_epoch(trainer)
        self.clock.mark()

    def _close_epoch(self, trainer: lightning.Trainer) -> None:
        found = trainer.callback_metrics
        if "train_loss" in found:
            names = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")
            self.epochs.append(Epoch(*(float(found[name]) for name in names)))


def train(work: Work, clock: Clock) -> list[Epoch]:
    loader, val_loader = loaders(work)
    marks = Marks(clock)
    trainer = lightning.Trainer(max_epochs=work.num_epochs, callbacks=[marks])
    trainer.fit(Classifier(work), loader, val_loader)
    return marks.epochs
