"""What a step is made of: the window of one optimizer, and what advances with it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from labwright.args.errors import UserError

from .ema import EMA
from .precision import LossScale


class Agreed(NamedTuple):
    """What several ranks have found out of a window together."""

    share: float
    """The mean of their weights, relative to the first one."""
    loss: float | None
    """The mean of their sums of losses; None where nobody has read those yet."""


@dataclass(slots=True)
class Window:
    """What has been accumulated since the last step.

    Losses are weighted relative to the first. So that one is taken as it is, which makes a window of one batch the
    plain step, and the gradients of a large window stay of a size that 16 bits can hold.
    """

    parameters: list[Tensor]
    first_weight: float
    """On several ranks a weight that all know, in place of the first one's."""
    num_batches: int = 0
    loss: Tensor | None = None
    """The sum of the losses; of a single one it may still have its graph."""
    divisor: float = 0.0
    """What makes the sum of the gradients their mean."""
    agreed: Agreed | None = None

    def add(self, loss: Tensor, weight: float, scale: float) -> None:
        """Backpropagate one loss."""
        if loss.dtype.itemsize < 4:
            loss = loss.float()  # 16 bits may not hold the sum
        share = weight / self.first_weight
        factor = share * scale
        if weight:
            (loss if factor == 1 else loss * factor).backward()
        else:
            with self._no_gradients():
                (loss * factor).backward()
        if self.loss is None:
            self.loss = loss if share == 1 else loss.detach() * share
        else:
            self.loss = self.loss.detach() + loss.detach() * share
        self.divisor += factor

    @contextmanager
    def _no_gradients(self) -> Iterator[None]:
        """Within, backward passes come to zeros, even where they divide by a number of samples that is 0."""
        hooks = [each.register_hook(_zeros) for each in self.parameters if each.requires_grad]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def drop_gradients(self) -> None:
        # What the optimizer's zero_grad does, at a tenth of its time.
        for parameter in self.parameters:
            parameter.grad = None


@dataclass(slots=True)
class Course:
    """One optimizer, what advances with it, and how far it has come."""

    optimizer: Optimizer
    number: int
    """From 1, in the order they came."""
    loss_scale: LossScale | None
    scheduler: LRScheduler | None = None
    ema: EMA | None = None
    window: Window | None = None
    num_steps: int = 0
    """Taken or left out."""
    num_skipped: int = 0
    num_skipped_in_a_row: int = 0
    num_overflows: int = 0
    num_steps_read: int = 0
    """Steps that the last check has seen."""
    unread: Tensor | None = None
    """On the device: whether a step since then was bad; which one, its loss and its norm."""

    def advance(self) -> None:
        """A step has been applied."""
        self.num_skipped_in_a_row = 0
        if self.loss_scale is not None:
            self.loss_scale.keep_or_grow()
        if self.scheduler is not None:
            self.scheduler.step()
        if self.ema is not None:
            self.ema.update()

    def step_unread(self, loss: Tensor, norm: Tensor) -> tuple[Tensor, Tensor]:
        """Step if the device finds that this step and all since the last check are good, without asking it.

        Gives copies of loss and norm, safe from whoever computes the next ones in the same memory.
        """
        is_bad = ~(loss.isfinite() & norm.isfinite())
        step = torch.full_like(norm, self.num_steps - self.num_steps_read)
        this = torch.stack([value.to(norm.device, torch.float32) for value in (is_bad, step, loss, norm)])
        self.unread = this if self.unread is None else torch.where(self.unread[0] > 0, self.unread, this)
        optimizer: Any = self.optimizer
        # This is how GradScaler tells torch's fused optimizers.
        optimizer.grad_scale, optimizer.found_inf = None, self.unread[0]
        optimizer.step()
        del optimizer.grad_scale, optimizer.found_inf
        return this[2], this[3]

    def state_dict(self) -> dict[str, Any]:
        return {
            "num_steps": self.num_steps,
            "num_skipped": self.num_skipped,
            "num_skipped_in_a_row": self.num_skipped_in_a_row,
            "num_overflows": self.num_overflows,
            "loss_scale": None if self.loss_scale is None else asdict(self.loss_scale),
            "ema": None if self.ema is None else self.ema.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if (state["ema"] is None) != (self.ema is None):
            having = "averages, and no EMA is" if self.ema is None else "no averages, and an EMA is"
            raise UserError(f"the state of optimizer {self.number} has {having} attached to it")
        if self.ema is not None:
            self.ema.load_state_dict(state["ema"])
        if self.loss_scale is not None and state["loss_scale"] is not None:
            self.loss_scale = LossScale(**state["loss_scale"])
        self.num_steps = self.num_steps_read = state["num_steps"]
        self.num_skipped = state["num_skipped"]
        self.num_skipped_in_a_row = state["num_skipped_in_a_row"]
        self.num_overflows = state["num_overflows"]


def _zeros(gradient: Tensor | None) -> Tensor | None:
    """In place of a gradient; a parameter that takes no part has none."""
    return None if gradient is None else torch.zeros_like(gradient)
