"""One cycle of the learning rate, and of momentum against it."""

from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from .curves import Curve


class OneCycle(LambdaLR):
    """Follows a curve of learning rate factors and one of momenta (of Adam's first beta, where there are betas).

    Groups without momentum, or with a momentum of 0, keep what they have.
    """

    def __init__(self, optimizer: Optimizer, factor: Curve, momentum: Curve) -> None:
        self._momentum = momentum
        super().__init__(optimizer, factor)

    def step(self, epoch: int | None = None) -> None:
        super().step(epoch)
        momentum = self._momentum(self.last_epoch)
        for group in self.optimizer.param_groups:
            if "betas" in group:
                group["betas"] = (momentum, *group["betas"][1:])
            elif group.get("momentum"):
                group["momentum"] = momentum

    def state_dict(self) -> dict[str, Any]:
        """The count of steps and what torch derives from it; the curves belong to the args."""
        state = super().state_dict()
        del state["_momentum"]
        return state
