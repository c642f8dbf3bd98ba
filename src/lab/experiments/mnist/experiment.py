"""How the mnist experiment trains: every default of `Experiment`, and its loss spelled out."""

from torch.nn import functional as F

from labwright import Experiment
from labwright.train import Batch, Loss

from .args import MnistArgs


class Mnist(Experiment[MnistArgs]):
    """Classifies digits by cross-entropy."""

    def compute_loss(self, batch: Batch) -> Loss:
        logits = self.model(batch["input"])
        loss = F.cross_entropy(logits, batch["target"])
        return Loss(loss, {"logits": logits}, weight=len(batch["target"]))
