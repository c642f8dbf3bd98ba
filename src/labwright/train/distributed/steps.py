"""What the ranks agree on at each optimizer step, in one small exchange."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from labwright.args.errors import UserError

from ..windows import Window
from .group import Group

_NO_WISHES: Sequence[float] = ()


class _Asked(NamedTuple):
    """What this rank has told the others, and how to get their sum."""

    divisor: float
    answer: Callable[[], list[float]]


class StepAgreement:
    """Makes the window of this rank that of all: its weight and its loss, and whether anybody wants to stop.

    The gradients are already the mean of those of the ranks. Each rank has weighted its own relative to
    `reference_weight`, which is the same on all; so the mean weight of the ranks is what divides them.
    """

    def __init__(self, group: Group, reference_weight: float) -> None:
        self.reference_weight = reference_weight
        self.wishes: Callable[[], Sequence[float]] = lambda: _NO_WISHES
        """What this rank asks for, as numbers that add up."""
        self.heard: Callable[[Sequence[float]], None] = lambda sums: None
        """Told of the sums over all ranks."""
        self.loss: Tensor | float = 0.0
        """The mean loss of the last window, of all ranks."""
        self.is_borrowed = False
        """Whether the batch in hand counts nothing: this rank has none of its own."""
        self.was_called = False
        """Whether the loss of the step in hand was computed for all ranks."""
        self._has_stepped = False
        self._asked: _Asked | None = None
        self._group = group

    def begin(self, window: Window, loss: Tensor, weight: float, loss_scale: float) -> None:
        """Ask the others while the backward pass of `loss` is under way, the last of the window."""
        share = weight / window.first_weight
        value = loss.detach() * share
        if self._asked is not None:  # another loss closes the window
            self._asked.answer()
        total = value if window.loss is None else window.loss.detach() + value
        self._asked = self._ask(window.divisor + share * loss_scale, total)

    def reduce(self, window: Window, loss_scale: float) -> None:
        """Give the window the divisor and the loss of all ranks."""
        if not self.was_called:
            raise UserError(
                "several ranks: train_batch must compute its loss by self.parallel(self.compute_loss, batch)"
            )
        self.was_called, self._has_stepped = False, True
        loss, size = window.loss, self._group.size
        assert loss is not None
        asked, self._asked = self._asked, None
        if asked is None or asked.divisor != window.divisor:
            asked = self._ask(window.divisor, loss)
        sums = asked.answer()
        divisor = sums[0] / size
        if not divisor:
            raise UserError("the loss of a step is the mean over nothing: its weight is 0 on all ranks")
        if loss.device.type == "cpu":
            window.loss = torch.tensor(sums[1] / size, dtype=torch.float64)
        else:
            total = loss.detach().clone()
            self._group.sum_tensor(total)
            window.loss = total / size
        self.loss = window.loss * (loss_scale / divisor)
        window.divisor = divisor
        self.heard(sums[2:])

    def _ask(self, divisor: float, loss: Tensor) -> "_Asked":
        # Of a loss on an accelerator nobody here knows the value yet: it is summed there.
        value = loss.item() if loss.device.type == "cpu" else 0.0
        return _Asked(divisor, self._group.begin_sum([divisor, value, *self.wishes()]))

    def require_step(self, title: str) -> None:
        """Raise a UserError if the step in hand was none of the stepper's: then the ranks drift apart."""
        if not self._has_stepped:
            raise UserError(
                f"several ranks: {title}.train_batch takes its steps itself; compute the loss by self.parallel, step "
                "by self.backward and self.step, or start it without torchrun"
            )
        self._has_stepped = False
