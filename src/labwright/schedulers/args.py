"""What may be said about the stock schedules. No torch until something is built."""

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import ConfigDict, Field, PositiveInt

from labwright.args import Args

from . import curves

if TYPE_CHECKING:
    from torch.optim import Optimizer
    from torch.optim.lr_scheduler import LambdaLR, LRScheduler, ReduceLROnPlateau

    from .one_cycle import OneCycle


class SchedulerArgs(Args):
    """Base of every schedule's args; `interval` says after what the loop calls `step()`."""

    model_config = ConfigDict(allow_inf_nan=False)

    interval: ClassVar[Literal["epoch", "step"]] = "epoch"

    @abstractmethod
    def build(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LRScheduler":
        """The schedule over `optimizer`, each of whose groups keeps its learning rate in proportion."""


class ConstantArgs(SchedulerArgs):
    """Learning rate as the optimizer has it, all the way."""

    kind: Literal["constant"] = "constant"

    def build(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LambdaLR":
        from torch.optim.lr_scheduler import LambdaLR

        return LambdaLR(optimizer, curves.constant)


class StepArgs(SchedulerArgs):
    """Learning rate times gamma^floor(epoch / step_size); per epoch."""

    kind: Literal["step"] = "step"
    step_size: int = Field(default=10, gt=0, description="Epochs between two decays.")
    gamma: float = Field(default=0.1, gt=0, le=1, description="Factor of each decay.")

    def build(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LambdaLR":
        from torch.optim.lr_scheduler import LambdaLR

        return LambdaLR(optimizer, curves.decay_every(self.step_size, self.gamma))


class MultiStepArgs(SchedulerArgs):
    """Learning rate times gamma^(milestones passed); per epoch."""

    kind: Literal["multistep"] = "multistep"
    milestones: list[PositiveInt] = Field(default=[10, 15], description="Epochs after which the learning rate decays.")
    gamma: float = Field(default=0.1, gt=0, le=1, description="Factor of each decay.")

    def build(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LambdaLR":
        from torch.optim.lr_scheduler import LambdaLR

        return LambdaLR(optimizer, curves.decay_at(self.milestones, self.gamma))


class ExponentialArgs(SchedulerArgs):
    """Learning rate times gamma^epoch; per epoch."""

    kind: Literal["exponential"] = "exponential"
    gamma: float = Field(default=0.95, gt=0, le=1, description="Factor of each epoch.")

    def build(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LambdaLR":
        from torch.optim.lr_scheduler import LambdaLR

        return LambdaLR(optimizer, curves.decay_every(1, self.gamma))


class CosineArgs(SchedulerArgs):
    """Half a cosine (Loshchilov & Hutter, 2017) after a linear warm-up (Goyal et al., 2017); per optimizer step."""

    kind: Literal["cosine"] = "cosine"
    interval: ClassVar[Literal["epoch", "step"]] = "step"
    warmup_epochs: float = Field(default=0.0, ge=0, description="Epochs of linear warm-up; may be a fraction.")
    minimum: float = Field(default=0.0, ge=0, le=1, description="Where it ends, as a share of the learning rate.")

    def build(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LambdaLR":
        from torch.optim.lr_scheduler import LambdaLR

        warmup, total = self.warmup_epochs * steps_per_epoch, num_epochs * steps_per_epoch
        return LambdaLR(optimizer, curves.warmup_then_cosine(warmup, total, self.minimum))


class OneCycleArgs(SchedulerArgs):
    """One cycle up to the optimizer's learning rate and down again (Smith & Topin, 2018); per optimizer step."""

    kind: Literal["one_cycle"] = "one_cycle"
    interval: ClassVar[Literal["epoch", "step"]] = "step"
    rising_fraction: float = Field(default=0.3, ge=0, le=1, description="Share of the run in which it rises.")
    start_divisor: float = Field(default=25.0, ge=1, description="It starts at the learning rate divided by this.")
    end_divisor: float = Field(default=250_000.0, ge=1, description="It ends at the learning rate divided by this.")
    cycle_momentum: bool = Field(default=True, description="Cycle momentum the other way, where it is used.")
    momentum_low: float = Field(default=0.85, ge=0, lt=1, description="Momentum (or first beta) at the peak.")
    momentum_high: float = Field(default=0.95, ge=0, lt=1, description="Momentum (or first beta) at both ends.")

    def build(self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int) -> "LambdaLR | OneCycle":
        from torch.optim.lr_scheduler import LambdaLR

        from .one_cycle import OneCycle

        def cycle(start: float, peak: float, end: float) -> curves.Curve:
            total = num_epochs * steps_per_epoch
            return curves.rise_and_fall(start, peak, end, total=total, rising_fraction=self.rising_fraction)

        factor = cycle(1 / self.start_divisor, 1.0, 1 / self.end_divisor)
        if not self.cycle_momentum:
            return LambdaLR(optimizer, factor)
        return OneCycle(optimizer, factor, cycle(self.momentum_high, self.momentum_low, self.momentum_high))


class PlateauArgs(SchedulerArgs):
    """Learning rate times factor whenever the best-model metric stops improving; per epoch."""

    kind: Literal["plateau"] = "plateau"
    factor: float = Field(default=0.1, gt=0, lt=1, description="Factor of each reduction.")
    patience: int = Field(default=5, gt=0, description="Reduce after this many epochs in a row without improvement.")
    delta: float = Field(default=0.0, ge=0, description="An improvement is a change for the better by more than this.")
    cooldown: int = Field(default=0, ge=0, description="Epochs after a reduction that do not count.")
    minimum: float = Field(default=0.0, ge=0, le=1, description="Lower bound, as a share of the learning rate.")

    def build(
        self, optimizer: "Optimizer", num_epochs: int, steps_per_epoch: int, *, minimize: bool = True
    ) -> "ReduceLROnPlateau":
        """The schedule; the loop calls `step(value)` with the best-model metric, which gets better downwards or not."""
        from torch.optim.lr_scheduler import ReduceLROnPlateau

        return ReduceLROnPlateau(
            optimizer,
            mode="min" if minimize else "max",
            factor=self.factor,
            patience=self.patience - 1,  # torch counts the epochs it tolerates
            threshold=self.delta,
            threshold_mode="abs",  # a relative one calls equal negative values an improvement
            cooldown=self.cooldown,
            min_lr=[group["lr"] * self.minimum for group in optimizer.param_groups],
            eps=0.0,
        )


SchedulerUnion = ConstantArgs | StepArgs | MultiStepArgs | ExponentialArgs | CosineArgs | OneCycleArgs | PlateauArgs
