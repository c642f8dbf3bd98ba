"""What every optimizer's args have in common. No torch until something is built."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Self

from pydantic import ConfigDict, Field, model_validator

from labwright.args import Args, UserError

if TYPE_CHECKING:
    from torch import nn
    from torch.optim import Optimizer
    from torch.optim.optimizer import ParamsT


class GroupArgs(Args):
    """Settings of one submodule that differ from the optimizer's."""

    model_config = ConfigDict(allow_inf_nan=False)

    learning_rate: float | None = Field(default=None, gt=0, description="Step size here; none: the optimizer's.")
    weight_decay: float | None = Field(default=None, ge=0, description="Weight decay here; none: the optimizer's.")
    freeze: bool = Field(default=False, description="Leave these parameters as they are.")

    @model_validator(mode="after")
    def _frozen_has_no_settings(self) -> Self:
        if self.freeze and (self.learning_rate is not None or self.weight_decay is not None):
            raise ValueError("a frozen submodule is not trained: leave out freeze, or learning_rate and weight_decay")
        return self


class OptimizerArgs(Args):
    """Base of every optimizer's args."""

    model_config = ConfigDict(allow_inf_nan=False)

    learning_rate: float = Field(default=1e-3, gt=0, description="Step size.")
    weight_decay: float = Field(default=0.0, ge=0, description="Strength of the pull of weights towards zero.")
    decay_norms_and_biases: bool = Field(
        default=True, description="Apply weight decay to biases and normalisation layers too."
    )
    groups: dict[str, GroupArgs] = Field(
        default={},
        description="Settings by submodule, the most specific name deciding; "
        'for example {"head": {"learning_rate": 1e-3}, "body": {"freeze": true}}.',
    )

    def param_groups(self, model: "nn.Module") -> "list[dict[str, Any]]":
        """Each trainable parameter of `model` once, grouped by its settings; freezes what `groups` says to freeze.

        Raises a UserError when a name in `groups` fits no parameter, or nothing is left to train.
        """
        from .groups import param_groups

        return param_groups(self, model)

    @abstractmethod
    def build(self, parameters: "ParamsT") -> "Optimizer":
        """The optimizer over `parameters`: those of `param_groups`, or any that torch accepts."""


class FusedOptimizerArgs(OptimizerArgs):
    """Base of the optimizers that torch also has as one kernel for the whole step."""

    fused: bool | None = Field(
        default=None, description="Take the step in one kernel (faster, rounds differently); unset: where torch can."
    )

    def fused_settings(self, parameters: "list[Any]", devices: "frozenset[str] | None" = None) -> dict[str, bool]:
        """`parameters` (of `build`, as a list) as torch's `fused`: what was asked for, else whether they allow it.

        `devices` are those that torch has the kernel for; None: the ones of most optimizers.

        Raises:
            UserError: fused=true was asked for, and they do not.
        """
        from .fused import why_not_fused

        if self.fused is False:
            return {"fused": False}
        problem = why_not_fused(parameters, devices)
        if self.fused and problem is not None:
            raise UserError(f"--optimizer.fused=true: {problem}; leave it out, or pass false")
        return {"fused": problem is None}
