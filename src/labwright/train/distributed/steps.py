"""What the ranks agree on at each optimizer step."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch
from torch import Tensor

from labwright.args.errors import UserError

from ..windows import Agreed, Window
from .group import Group

_NO_WISHES: Sequence[float] = ()
_MOST_SAMPLES = 2.0**18
"""Sums of whole numbers up to here are found again where they were rounded to float32, on some hundred ranks."""
CALL_PARALLEL = (
    "several ranks: train_batch must compute each loss by self.parallel(self.compute_loss, batch), just before its "
    "backward"
)


class Exchange(Protocol):
    """Takes numbers to the other ranks while a backward pass is under way."""

    def send(self, loss: Tensor, numbers: list[float]) -> Tensor:
        """What to call `backward` of, in place of the loss."""
        ...

    def sums(self) -> list[float]:
        """The numbers that ranks sent with the last backward pass, each summed over them, and maybe rounded."""
        ...


class OwnExchange:
    """An exchange of its own, besides that of the gradients."""

    def __init__(self, group: Group) -> None:
        self._group = group
        self._answer: Callable[[], list[float]] | None = None

    def send(self, loss: Tensor, numbers: list[float]) -> Tensor:
        """The loss as it is; others hear the numbers from now on."""
        self._answer = self._group.begin_sum(numbers)
        return loss

    def sums(self) -> list[float]:
        """The sums, which this waits for."""
        assert self._answer is not None
        answer, self._answer = self._answer, None
        return answer()


class StepAgreement:
    """Makes the window of this rank that of all: its weight and its loss, and whether anybody wants to stop.

    The gradients are already the mean of those of the ranks. Each rank has weighted its own relative to
    `reference_weight`, which is the same on all; so the mean weight of the ranks is what divides them.
    """

    def __init__(self, group: Group, reference_weight: float, exchange: Exchange) -> None:
        self.reference_weight = reference_weight
        self.wishes: Callable[[], Sequence[float]] = lambda: _NO_WISHES
        """What this rank asks for, as numbers that add up."""
        self.heard: Callable[[Sequence[float]], None] = lambda sums: None
        """Told of the sums over all ranks, which are 0 exactly where all numbers are."""
        self.loss: Tensor | float = 0.0
        """The mean loss of all ranks, of the steps of the batch in hand together."""
        self.is_borrowed = False
        """Whether the batch in hand counts nothing: this rank has none of its own."""
        self.was_called = False
        """Whether the loss of the step in hand was computed for all ranks."""
        self._weight = 0.0
        """That of the window, as the others were told."""
        self._has_stepped = False
        self._group = group
        self._exchange = exchange

    def begin_batch(self, *, is_borrowed: bool) -> None:
        """The next steps are those of another batch."""
        self.is_borrowed, self.loss = is_borrowed, 0.0

    def begin(self, window: Window, loss: Tensor, weight: float, loss_scale: float) -> Tensor:
        """What to call backward of, the last time in the window; the other ranks are asked meanwhile."""
        if not self.was_called:
            raise UserError(CALL_PARALLEL)
        share = weight / window.first_weight
        value = loss.detach() if share == 1 else loss.detach() * share
        total = value if window.loss is None else window.loss.detach() + value
        # Of a loss on an accelerator nobody here knows the value yet: it is summed there.
        known = total.item() if loss.device.type == "cpu" else 0.0
        in_all = (window.divisor / loss_scale + share) * self.reference_weight
        whole = round(in_all)
        is_whole = abs(in_all - whole) <= 1e-6 * in_all
        self._weight = whole if is_whole else in_all
        return self._exchange.send(loss, [self._weight, float(not is_whole), known, *self.wishes()])

    def end(self, window: Window, loss: Tensor) -> None:
        """Hear what the others have said, when the backward pass is done."""
        size = self._group.size
        weight, num_fractions, total, *wishes = self._exchange.sums()
        if num_fractions or weight > _MOST_SAMPLES:
            (weight,) = self._group.sum([self._weight])
        else:
            weight = round(weight)
        is_known = loss.device.type == "cpu"
        window.agreed = Agreed(weight / size / self.reference_weight, total / size if is_known else None)
        self.was_called = False
        self.heard(wishes)

    def reduce(self, window: Window, loss_scale: float) -> None:
        """Give the window the divisor and the loss of all ranks."""
        agreed, loss = window.agreed, window.loss
        if agreed is None:
            raise UserError(
                "several ranks: train_batch must call self.backward for each batch where --accumulate_batches is "
                "above 1, for the ranks average their gradients with the last one of a window"
            )
        assert loss is not None
        if not agreed.share:
            raise UserError("the loss of a step is the mean over nothing: its weight is 0 on all ranks")
        if agreed.loss is None:
            total = loss.detach().clone()
            self._group.sum_tensor(total)
            window.loss = total / self._group.size
            self.loss += window.loss / agreed.share
        else:
            window.loss = torch.tensor(agreed.loss, dtype=torch.float64)
            self.loss += agreed.loss / agreed.share
        window.divisor = agreed.share * loss_scale
        self._has_stepped = True

    def require_step(self, title: str) -> None:
        """Raise a UserError if the step in hand was none of the stepper's: then the ranks drift apart."""
        if not self._has_stepped:
            raise UserError(
                f"several ranks: {title}.train_batch takes its steps itself; compute the loss by self.parallel, step "
                "by self.backward and self.step, or start it without torchrun"
            )
        self._has_stepped = False
