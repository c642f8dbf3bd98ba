"""How the mnist experiment trains: every default of `Experiment`, and its loss spelled out."""

from torch.nn import functional as F

from labwright import Experiment
from labwright.args import UserError
from labwright.datasets import Splits
from labwright.train import Batch, Loss

from .args import MnistArgs


class Mnist(Experiment[MnistArgs]):
    """Classifies digits by cross-entropy."""

    def build_datasets(self) -> Splits:
        splits = super().build_datasets()
        if splits.task != "classification":
            raise UserError(f"mnist trains by cross-entropy of classes, and {splits.name} is a {splits.task}")
        return splits

    def compute_loss(self, batch: Batch) -> Loss:
        logits = self.model(batch["input"])
        loss = F.cross_entropy(logits, batch["target"])
        return Loss(loss, {"logits": logits}, weight=len(batch["target"]))
