"""What may be said about the stock optimizers. Defaults are torch's own; no torch until something is built."""

from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from .base import FusedOptimizerArgs, OptimizerArgs

if TYPE_CHECKING:
    from torch.optim import SGD, Adagrad, Adam, AdamW, RMSprop
    from torch.optim.optimizer import ParamsT

_FUSED_ADAGRAD = frozenset({"cpu"})
Decay = Annotated[float, Field(ge=0, lt=1)]


class SGDArgs(FusedOptimizerArgs):
    """Stochastic gradient descent (Robbins & Monro, 1951), with momentum (Polyak, 1964)."""

    kind: Literal["sgd"] = "sgd"
    momentum: float = Field(default=0.0, ge=0, lt=1, description="Share of the last step's direction that is kept.")
    dampening: float = Field(default=0.0, ge=0, le=1, description="Share of the gradient kept out of the momentum.")
    nesterov: bool = Field(default=False, description="Look ahead along the momentum (Nesterov, 1983).")

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and (self.momentum == 0 or self.dampening != 0):
            raise ValueError(
                "nesterov needs a momentum above 0 and a dampening of 0, "
                f"not momentum={self.momentum} and dampening={self.dampening}"
            )
        return self

    def build(self, parameters: "ParamsT") -> "SGD":
        from torch.optim import SGD

        from .light import build_light

        members: list[Any] = [*parameters]
        return build_light(
            SGD,
            members,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            momentum=self.momentum,
            dampening=self.dampening,
            nesterov=self.nesterov,
            **self.fused_settings(members),
        )


class AdamFamilyArgs(FusedOptimizerArgs):
    """What Adam and its variants share."""

    betas: tuple[Decay, Decay] = Field(
        default=(0.9, 0.999), description="Decay of the running means of the gradient and of its square."
    )
    eps: float = Field(default=1e-8, ge=0, description="Added to the denominator, against division by zero.")
    amsgrad: bool = Field(default=False, description="Never let the mean square shrink (Reddi et al., 2018).")

    def settings(self) -> dict[str, Any]:
        """The arguments by which torch knows these fields."""
        return {
            "lr": self.learning_rate,
            "weight_decay": self.weight_decay,
            "betas": self.betas,
            "eps": self.eps,
            "amsgrad": self.amsgrad,
        }


class AdamArgs(AdamFamilyArgs):
    """Adam (Kingma & Ba, 2015); its weight decay is added to the gradient."""

    kind: Literal["adam"] = "adam"

    def build(self, parameters: "ParamsT") -> "Adam":
        from torch.optim import Adam

        from .light import build_light

        members: list[Any] = [*parameters]
        return build_light(Adam, members, **self.settings(), **self.fused_settings(members))


class AdamWArgs(AdamFamilyArgs):
    """Adam with weight decay apart from the gradient (Loshchilov & Hutter, 2019)."""

    kind: Literal["adamw"] = "adamw"
    weight_decay: float = Field(
        default=0.01, ge=0, description="Share of each weight taken off a step, times the learning rate."
    )

    def build(self, parameters: "ParamsT") -> "AdamW":
        from torch.optim import AdamW

        from .light import build_light

        members: list[Any] = [*parameters]
        return build_light(AdamW, members, **self.settings(), **self.fused_settings(members))


class RMSpropArgs(OptimizerArgs):
    """RMSprop (Tieleman & Hinton, 2012), centred as in Graves (2013)."""

    kind: Literal["rmsprop"] = "rmsprop"
    learning_rate: float = Field(default=1e-2, gt=0, description="Step size.")
    alpha: float = Field(default=0.99, ge=0, lt=1, description="Decay of the running mean of the squared gradient.")
    eps: float = Field(default=1e-8, ge=0, description="Added to the denominator, against division by zero.")
    momentum: float = Field(default=0.0, ge=0, lt=1, description="Share of the last step's direction that is kept.")
    centered: bool = Field(default=False, description="Divide by an estimate of the variance, not the mean square.")

    def build(self, parameters: "ParamsT") -> "RMSprop":
        from torch.optim import RMSprop

        from .light import build_light

        return build_light(
            RMSprop,
            parameters,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            alpha=self.alpha,
            eps=self.eps,
            momentum=self.momentum,
            centered=self.centered,
        )


class AdagradArgs(FusedOptimizerArgs):
    """Adagrad (Duchi, Hazan & Singer, 2011)."""

    kind: Literal["adagrad"] = "adagrad"
    learning_rate: float = Field(default=1e-2, gt=0, description="Step size.")
    learning_rate_decay: float = Field(
        default=0.0, ge=0, description="The step size is divided by 1 + this times the number of steps taken."
    )
    initial_accumulator_value: float = Field(default=0.0, ge=0, description="Start of the sum of squared gradients.")
    eps: float = Field(default=1e-10, ge=0, description="Added to the denominator, against division by zero.")

    def build(self, parameters: "ParamsT") -> "Adagrad":
        from torch.optim import Adagrad

        from .light import build_light

        members: list[Any] = [*parameters]
        return build_light(
            Adagrad,
            members,
            lr=self.learning_rate,
            weight_decay=self.weight_decay,
            lr_decay=self.learning_rate_decay,
            initial_accumulator_value=self.initial_accumulator_value,
            eps=self.eps,
            **self.fused_settings(members, _FUSED_ADAGRAD),
        )


OptimizerUnion = SGDArgs | AdamArgs | AdamWArgs | RMSpropArgs | AdagradArgs
