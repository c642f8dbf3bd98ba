"""From a loss to an optimizer step: precision, accumulation, clipping, bad values, schedules and averages.

    stepper = Stepper(precision="bf16", accumulate_batches=4, max_norm=1.0)
    for x, y in stepper.each(loader):
        with stepper.forward(model):
            loss = cross_entropy(model(x), y)
        stepper.update(loss, optimizer, weight=len(x))

A *window* is the batches that one step is made of.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_value_, clip_grads_with_norm_
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from labwright.args.errors import UserError

from .clipping import are_finite, finite_norm, gradient_norm, gradients_of
from .ema import EMA
from .nonfinite import ADVICE, NonFiniteLoss
from .precision import LossScale, Precision, autocast
from .windows import Course, Window

if TYPE_CHECKING:
    from .distributed.steps import StepAgreement

BatchT = TypeVar("BatchT")


class Stepper:
    """Takes the steps of one or several optimizers; alone in a script it is the four lines above.

    - A window of `accumulate_batches` batches is one step, exactly that of one batch with all their samples, whatever
      their sizes and however short the last window is. Each optimizer has windows of its own.
    - `max_value` clips each number of a step's gradients, `max_norm` then all of them together.
    - A step whose loss or gradients are not finite is never applied. With `max_skipped_steps=0` it raises
      NonFiniteLoss; with n, up to n in a row are left out first. On an accelerator nobody waits for each step's values
      if the optimizer is `fused` and none may be skipped: the bad step and all later ones are then not applied, and
      `check` raises.
    - fp16 scales the loss, and the gradients back. A loss scale that lets gradients overflow is halved and its step
      left out, which does not count as bad; gradients that overflow although nothing scaled them up do, and so does a
      loss that is not finite.
    - A step that is not applied advances neither schedule nor average.
    """

    def __init__(
        self,
        *,
        device: torch.device | None = None,
        precision: Precision = "fp32",
        accumulate_batches: int = 1,
        max_norm: float | None = None,
        max_value: float | None = None,
        max_skipped_steps: int = 0,
    ) -> None:
        if precision not in get_args(Precision):
            raise UserError(f"precision must be one of {', '.join(get_args(Precision))}, not {precision!r}")
        if accumulate_batches < 1:
            raise UserError(f"accumulate_batches must be at least 1, not {accumulate_batches}")
        for name, value in (("max_norm", max_norm), ("max_value", max_value)):
            if value is not None and not value > 0:
                raise UserError(f"{name} must be above 0, not {value}; leave it out to clip nothing")
        if max_skipped_steps < 0:
            raise UserError(f"max_skipped_steps must be at least 0, not {max_skipped_steps}")
        self.device = device
        self.precision: Precision = precision
        self.accumulate_batches = accumulate_batches
        self.max_norm = max_norm
        self.max_value = max_value
        self.max_skipped_steps = max_skipped_steps
        self.where = ""
        """Added to what is said of a bad step: "epoch 3"."""
        self.norm_every_n_steps = 1
        """How often the norm of the gradients is measured where nothing is clipped by it; the other steps' gradients
        are only found to be finite, in less than half of the time."""
        self.on_step: Callable[[Tensor | float, Tensor | float | None], None] | None = None
        """Told of each step, applied or left out: its loss and the norm of its gradients, where nobody has read them
        yet as tensors; None for a norm that was not measured."""
        self.ranks: StepAgreement | None = None
        """Makes the windows of several ranks one; their gradients are averaged already."""
        self._courses: dict[Optimizer, Course] = {}
        self._loop: object | None = None
        self._is_last_batch = True  # outside a loop each batch is a window
        self.closes_window = True
        """Whether the batch in hand ends a window, counted in batches; so it does where each batch updates once."""

    @property
    def num_steps(self) -> int:
        """Steps of all optimizers, applied or left out."""
        return sum(course.num_steps for course in self._courses.values())

    @property
    def num_skipped(self) -> int:
        """Steps left out because their loss or gradients were not finite."""
        return sum(course.num_skipped for course in self._courses.values())

    @property
    def num_overflows(self) -> int:
        """Steps left out in search of a loss scale (fp16)."""
        return sum(course.num_overflows for course in self._courses.values())

    @property
    def is_within_window(self) -> bool:
        """Whether batches have been accumulated that no step was made of yet; then there is no `state_dict`."""
        return any(course.window is not None for course in self._courses.values())

    def attach(self, optimizer: Optimizer, *, scheduler: LRScheduler | None = None, ema: EMA | None = None) -> None:
        """From now on each applied step of `optimizer` also steps `scheduler` and updates `ema`; None: neither."""
        course = self._course(optimizer)
        course.scheduler, course.ema = scheduler, ema

    def each(self, batches: Iterable[BatchT]) -> Iterator[BatchT]:
        """The batches; the window of the last one closes with it. For that, windows look one batch ahead.

        Where the last batch updates some optimizers only, the open windows of the others are stepped after it. A loop
        that is broken off within a window leaves nothing: what was accumulated is dropped.
        """
        self._drop_windows()
        loop = self._loop = object()
        try:
            if self.accumulate_batches == 1:
                yield from batches
            else:
                for number, (batch, is_last) in enumerate(_with_last(batches), start=1):
                    self._is_last_batch = is_last
                    self.closes_window = is_last or number % self.accumulate_batches == 0
                    yield batch
            for course in self._courses.values():
                if course.window is not None:
                    self._close(course, course.window)
        finally:
            if self._loop is loop:  # an abandoned loop may be finalized when the next is under way
                self._loop, self._is_last_batch, self.closes_window = None, True, True
                self._drop_windows()

    def forward(self, model: nn.Module) -> AbstractContextManager[object]:
        """A block in which `model` and the loss are computed in the precision asked for, on the device of `model`."""
        return autocast(self.precision, model, self.device)

    def update(
        self,
        loss: Tensor,
        optimizer: Optimizer,
        *,
        weight: float = 1.0,
        parameters: Iterable[Tensor] | None = None,
    ) -> bool:
        """`backward`, then `step`: True if a step was applied."""
        self.backward(loss, optimizer, weight=weight, parameters=parameters)
        return self.step(optimizer)

    def backward(
        self,
        loss: Tensor,
        optimizer: Optimizer,
        *,
        weight: float = 1.0,
        parameters: Iterable[Tensor] | None = None,
    ) -> None:
        """Add the gradients of `loss`, the mean over `weight` samples, to the window of `optimizer`.

        Gradients that something else left in the parameters are dropped when a window begins; `frozen` keeps them out
        within one. `parameters` are those that the step is about, if not the ones in the optimizer's groups.
        """
        if not 0 < weight < math.inf and not (weight == 0 and self.ranks is not None):
            raise UserError(f"weight must be the number of samples that the loss is the mean of, not {weight}")
        if self.ranks is not None and self.ranks.is_borrowed:
            weight = 0.0
        if weight == 0:
            loss = loss.nan_to_num(0.0, 0.0, 0.0)  # a mean over nothing may be NaN, and so is that times 0
        course = self._courses.get(optimizer) or self._course(optimizer)
        window, course.window = course.window, None  # lost if this fails: its gradients would be half a batch's
        if window is None:
            first_weight = weight if self.ranks is None else self.ranks.reference_weight
            window = Window(_stepped_by(optimizer) if parameters is None else list(parameters), first_weight)
            window.drop_gradients()
        scale = 1.0 if course.loss_scale is None else course.loss_scale.value
        ranks = self.ranks if self.closes_window else None
        if ranks is not None:
            loss = ranks.begin(window, loss, weight, scale)
        window.add(loss, weight, scale)
        if ranks is not None:
            ranks.end(window, loss)
        course.window = window

    def step(self, optimizer: Optimizer) -> bool:
        """Count a batch of the window of `optimizer`; if that closes it, take the step. True if a step was applied."""
        course = self._courses.get(optimizer) or self._course(optimizer)
        window = course.window
        if window is None:
            return False
        window.num_batches += 1
        if not self._is_last_batch and window.num_batches < self.accumulate_batches:
            return False
        return self._close(course, window)

    def check(self) -> None:
        """Raise NonFiniteLoss if a step since the last check was bad: before validating, saving, and now and then.

        Only where `update` does not wait for the device is there anything left to find.
        """
        for course in self._courses.values():
            if course.unread is not None:
                is_bad, step, loss, norm = course.unread.tolist()
                if is_bad:
                    step = course.num_steps_read + int(step)
                    raise NonFiniteLoss(f"{self._describe(course, step, loss, norm)}; {ADVICE}", step)
                course.unread, course.num_steps_read = None, course.num_steps

    def state_dict(self) -> dict[str, Any]:
        """Counts, loss scales and averages, by optimizer in the order they came; schedules are not among them."""
        if self.is_within_window:
            raise RuntimeError("batches have been accumulated that no step was made of yet: save after the window ends")
        self.check()
        return {"optimizers": [course.state_dict() for course in self._courses.values()]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave; `attach` every optimizer first, in the same order."""
        saved = state["optimizers"]
        if len(saved) != len(self._courses):
            attached = len(self._courses)
            raise UserError(
                f"the state has {len(saved)} and the stepper {attached} optimizers: attach the same ones first"
            )
        for course, values in zip(self._courses.values(), saved, strict=True):
            course.load_state_dict(values)

    def _course(self, optimizer: Optimizer) -> Course:
        course = self._courses.get(optimizer)
        if course is None:
            loss_scale = LossScale() if self.precision == "fp16" else None
            course = self._courses[optimizer] = Course(optimizer, len(self._courses) + 1, loss_scale)
        return course

    def _drop_windows(self) -> None:
        for course in self._courses.values():
            if course.window is not None:
                course.window.drop_gradients()
                course.window = None

    def _close(self, course: Course, window: Window) -> bool:
        """Apply the window's step, or leave it out."""
        course.window = None
        course.num_steps += 1
        if self.ranks is not None:
            self.ranks.reduce(window, 1.0 if course.loss_scale is None else course.loss_scale.value)
        loss = window.loss
        assert loss is not None  # a window begins with one
        gradients = gradients_of(window.parameters)
        if window.divisor != 1 and gradients:
            torch._foreach_div_(gradients, window.divisor)  # pyright: ignore[reportPrivateImportUsage]
        clips = self.max_norm is not None or self.max_value is not None
        norm = self._clip(window, gradients) if clips else None
        if self._may_stay_unread(course.optimizer, loss.device):
            loss, norm = course.step_unread(loss.detach(), gradient_norm(gradients) if norm is None else norm)
            is_applied = True  # if not, the next check ends the run
        else:
            every, is_finite = self.norm_every_n_steps, norm is not None or are_finite(gradients)
            if norm is None and (every == 1 or course.num_steps % every == 1 or not is_finite):
                norm = finite_norm(gradients)
            loss, norm = loss.item(), None if norm is None else float(norm)
            is_applied = math.isfinite(loss) and is_finite and (norm is None or not clips or math.isfinite(norm))
            if is_applied:
                course.optimizer.step()
        window.drop_gradients()
        if self.on_step is not None:
            self.on_step(loss, norm)
        if is_applied:
            course.advance()
        else:
            self._leave_out(course, float(loss), math.nan if norm is None else float(norm))
        return is_applied

    def _clip(self, window: Window, gradients: list[Tensor]) -> Tensor:
        """Clip the gradients; their norm before that."""
        norm = total = gradient_norm(gradients)
        if self.max_value is not None:
            clip_grad_value_(window.parameters, self.max_value)  # infinities are then finite, so `norm` stays
            total = gradient_norm(gradients)
        if self.max_norm is not None:
            clip_grads_with_norm_(window.parameters, self.max_norm, total)
        return norm

    def _may_stay_unread(self, optimizer: Optimizer, device: torch.device) -> bool:
        """Whether the device can leave out a bad step by itself, so that nobody needs to wait for its values."""
        return (
            device.type != "cpu"
            and self.max_skipped_steps == 0
            and self.precision != "fp16"
            and getattr(optimizer, "_step_supports_amp_scaling", False)  # it reads `found_inf`
            and all(group.get("fused") for group in optimizer.param_groups)  # the way torch's own do
        )

    def _leave_out(self, course: Course, loss: float, norm: float) -> None:
        if course.loss_scale is not None and course.loss_scale.value > 1 and math.isfinite(loss):
            course.num_overflows += 1
            course.loss_scale.back_off()
            return
        if course.num_skipped_in_a_row == self.max_skipped_steps:
            many = f", after {self.max_skipped_steps} in a row that were skipped" if self.max_skipped_steps else ""
            what = self._describe(course, course.num_steps, loss, norm)
            raise NonFiniteLoss(f"{what}{many}; {ADVICE}", course.num_steps)
        course.num_skipped += 1
        course.num_skipped_in_a_row += 1

    def _describe(self, course: Course, step: int, loss: float, norm: float) -> str:
        what = f"the norm of the gradients is {norm}" if math.isfinite(loss) else f"the loss is {loss}"
        of = f" of optimizer {course.number}" if len(self._courses) > 1 else ""
        return f"{what} at step {step}{of}" + (f" ({self.where})" if self.where else "")


def _stepped_by(optimizer: Optimizer) -> list[Tensor]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _with_last(batches: Iterable[BatchT]) -> Iterator[tuple[BatchT, bool]]:
    """Each batch, and whether it is the last."""
    iterator = iter(batches)
    try:
        batch = next(iterator)
    except StopIteration:
        return
    for following in iterator:
        yield batch, False
        batch = following
    yield batch, True
