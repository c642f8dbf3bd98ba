"""The default strategy: torch's DistributedDataParallel around whatever computes the loss."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn.parallel import DistributedDataParallel

from labwright.args.errors import UserError

from .group import Group
from .steps import CALL_PARALLEL

T = TypeVar("T")
_MOST_NUMBERS = 32
"""That ranks tell each other with the gradients of a step."""


class DataParallel:
    """Every rank has the whole model; gradients are averaged over the ranks while they are computed.

    The model itself stays as it is: its attributes, and the names in its state dict.

    A parameter that takes no part in a step has no gradient afterwards, if that is so on all ranks, and is not stepped.
    DistributedDataParallel would look for such ones by an exchange in each step. Here the backward pass reaches every
    parameter, those that take no part with nothing, and ranks ask each other who used what only where one of them
    misses some. What they tell each other besides travels with the gradients, as that of a parameter of its own.
    """

    def __init__(self, model: nn.Module, group: Group) -> None:
        self._model = model
        self._group = group
        self._is_held = False
        self._end: Tensor | None = None
        self._numbers: list[float] = []
        self._answer: Callable[[], list[float]] | None = None
        self.sends_with_gradients = all(parameter.is_cpu for parameter in model.parameters())
        """Otherwise numbers are exchanged on the CPU, where they can be read without waiting for the device."""
        self._sparse: set[Tensor] = set()
        """Weights whose gradients are."""
        self._wrap(is_first=True)

    def hold_gradients(self, is_held: bool) -> None:
        """Whether the gradients of the next call stay with this rank, since more of its window is to come."""
        self._is_held = is_held

    def __call__(self, function: Callable[..., T], *args: Any) -> T:
        """`function(*args)`; the backward pass of what it gives averages the gradients of the window."""
        if any([parameter.requires_grad for parameter in self._left_out]):
            self._wrap()  # it knows only of those that had gradients then
        if self._is_held:
            with self._ddp.no_sync():
                return self._ddp(function, *args)
        if torch.is_grad_enabled():
            self._end = _End.apply(self._message, self._tell)
        return self._ddp(function, *args)

    def send(self, loss: Tensor, numbers: list[float]) -> Tensor:
        """The loss whose backward pass averages the gradients, and tells the other ranks these numbers meanwhile.

        Raises:
            UserError: nothing was called since the last one.
        """
        if self._end is None:
            raise UserError(CALL_PARALLEL)
        end, self._end = self._end, None
        self._numbers, self._message.grad = numbers, None
        frozen = [parameter for parameter in self._parameters if not parameter.requires_grad]
        for parameter in frozen:  # they are waited for like all others
            parameter.requires_grad_(True)
        try:
            return _Reaching.apply(loss, end, *self._parameters)
        finally:
            for parameter in frozen:
                parameter.requires_grad_(False)

    def sums(self) -> list[float]:
        """The numbers that ranks sent, each summed over them; as exact as the gradients, if they went with those."""
        if self._answer is not None:
            *sums, num_late = self._answer()
            self._answer = None
        else:
            mean, self._message.grad = self._message.grad, None
            assert mean is not None
            *sums, num_late = [value * self._group.size for value in mean[: len(self._numbers) + 1].tolist()]
        if num_late:
            self._drop_unused()
        return sums

    def drop_gradients(self) -> None:
        """Forget what a window left that was broken off: here nothing that the stepper does not drop."""

    def whole(self) -> AbstractContextManager[None]:
        """A block in which the model has all its weights, as it always has here."""
        return nullcontext()

    def _wrap(self, *, is_first: bool = False) -> None:
        """Begin with the parameters that have gradients now; all ranks come here together."""
        parameters = list(self._model.parameters())
        precision = torch.float64 if any(each.dtype == torch.float64 for each in parameters) else torch.float32
        device = parameters[0].device if parameters else None
        self._message = nn.Parameter(torch.zeros(_MOST_NUMBERS, dtype=precision, device=device))
        self._parameters = [parameter for parameter in parameters if parameter.requires_grad]
        self._left_out = [parameter for parameter in parameters if not parameter.requires_grad]
        self._late = _Latecomers(self._parameters)
        for module in self._model.modules():
            if isinstance(module, nn.Embedding | nn.EmbeddingBag) and module.sparse:
                self._know_sparse(module.weight)
        gradients = [parameter.grad for parameter in self._parameters]
        for parameter in self._parameters:
            parameter.grad = None  # or it would become a part of a bucket
        self._ddp = DistributedDataParallel(
            _Call(self._message, self._model), gradient_as_bucket_view=True, init_sync=is_first
        )
        self._settle_buckets()
        for parameter, gradient in zip(self._parameters, gradients, strict=True):
            parameter.grad = gradient

    def _know_sparse(self, weight: Tensor) -> None:
        if weight.requires_grad and weight not in self._sparse:
            self._sparse.add(weight)
            weight.register_hook(_cloned)  # gradients are divided in place, and may be parts of others that are needed

    def _settle_buckets(self) -> None:
        """Let gradients be sorted into buckets now, in the reverse order of the parameters.

        After the first backward pass they are, by the order of that. A run that is resumed would have others at first,
        and sums over three or more ranks that are rounded otherwise.
        """

        def touch_all() -> Tensor:
            total = _Touch.apply(torch.zeros(()), self._message, False)
            for parameter in self._parameters:
                total = _Touch.apply(total, parameter, parameter in self._sparse)
            return total

        self._ddp(touch_all).backward()

    def _tell(self) -> Tensor:
        """What this rank has to say, when the backward pass has come to all that is younger than the call."""
        numbers = [*self._numbers, float(self._late.look())]
        if self.sends_with_gradients:
            numbers += [0.0] * (_MOST_NUMBERS - len(numbers))
            return torch.tensor(numbers, dtype=self._message.dtype)
        self._answer = self._group.begin_sum(numbers)
        return torch.zeros_like(self._message)

    def _drop_unused(self) -> None:
        """Leave no gradient where no rank has one."""
        uses = self._group.sum([float(is_used) for is_used in self._late.are_used()])
        for parameter, num_uses in zip(self._parameters, uses, strict=True):
            if not num_uses:
                parameter.grad = None


class _Latecomers:
    """Parameters that have no gradient yet when a backward pass has come to all that is younger than the call.

    They take no part in it, or one in what was computed before.
    """

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self._parameters = parameters
        self._indices: list[int] = []
        self._have_come: set[int] = set()
        self._watched: set[int] = set()
        """Those that say when they have."""

    def look(self) -> int:
        """How many there are; they are watched from now on, until the backward pass is done."""
        self._have_come.clear()
        self._indices = [index for index, parameter in enumerate(self._parameters) if parameter.grad is None]
        for index in self._indices:
            parameter = self._parameters[index]
            if index not in self._watched and parameter.requires_grad:
                self._watched.add(index)
                parameter.register_post_accumulate_grad_hook(partial(_note, self._have_come, index))
        return len(self._indices)

    def are_used(self) -> list[bool]:
        """Of each parameter whether it took part, when the backward pass is done."""
        unused = set(self._indices) - self._have_come
        return [index not in unused for index in range(len(self._parameters))]


def _note(have_come: set[int], index: int, parameter: Tensor) -> None:
    if parameter.grad is not None:  # it is told of nothing, too
        have_come.add(index)


def _cloned(gradient: Tensor | None) -> Tensor | None:
    return None if gradient is None else gradient.clone()


class _Call(nn.Module):
    """Holds the model, so that a function that uses it can be called as a forward pass."""

    def __init__(self, message: nn.Parameter, model: nn.Module) -> None:
        super().__init__()
        self.message = message  # the first, which the last bucket takes
        self.model = model

    def forward(self, function: Callable[..., Any], *args: Any) -> Any:
        return function(*args)


class _End(Function):
    """Its backward pass gives what `tell` does, when that of all that is younger is done: autograd takes that first."""

    @staticmethod
    def forward(ctx: Any, message: Tensor, tell: Callable[[], Tensor]) -> Tensor:
        ctx.tell = tell
        return message.view_as(message)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return ctx.tell(), None


class _Reaching(Function):
    """A loss whose backward pass reaches others besides what it was made of, with nothing for them."""

    @staticmethod
    def forward(ctx: Any, loss: Tensor, *others: Tensor) -> Tensor:
        ctx.num_others = len(others)
        return loss.view_as(loss)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        return *gradients, *[None] * ctx.num_others


class _Touch(Function):
    """Gives a parameter a gradient of zeros, before those that were touched earlier."""

    @staticmethod
    def forward(ctx: Any, total: Tensor, parameter: Tensor, is_sparse: bool) -> Tensor:
        ctx.parameter, ctx.is_sparse = parameter, is_sparse
        return total.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        zeros = torch.zeros_like(ctx.parameter)
        return *gradients, zeros.to_sparse(1) if ctx.is_sparse else zeros, None
