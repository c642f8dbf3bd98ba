"""What may be said about the digits_gan experiment."""

from typing import TYPE_CHECKING

from pydantic import Field

from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import DigitsDataArgs
from labwright.models import MLPArgs, ModelUnion
from labwright.optimizers import AdamArgs, OptimizerUnion

if TYPE_CHECKING:
    from .experiment import DigitsGan

_NETWORK = MLPArgs(hidden_sizes=[256, 256])
_ADAM = AdamArgs(learning_rate=1e-3, betas=(0.0, 0.9))


class DigitsGanArgs(ExperimentArgs):
    """Digits out of noise: a generator against a critic (GAN); the generator's average draws them."""

    epochs: int = Field(default=100, ge=0, description="Passes over the training data; 0 evaluates only.")
    batch_size: int = Field(default=64, gt=0, description="Real digits, and as many made ones, per step.")
    best_model_metric: str = Field(
        default="mmd", min_length=1, description="Metric that decides; mmd: distance of made digits from real ones."
    )
    ema_decay: float | None = Field(
        default=0.99, gt=0, lt=1, description="Decay of the average of the weights that digits are judged by; none: no."
    )
    noise_size: int = Field(default=32, gt=0, description="Random numbers that a digit is made of.")
    gradient_penalty: float = Field(
        default=1.0, ge=0, allow_inf_nan=False, description="Weight of the critic's squared gradient at real digits."
    )
    generator: MLPArgs = Field(default=_NETWORK, description="What makes digits of noise.")
    critic: ModelUnion = Field(default=_NETWORK, description="What tells real digits from made ones.")
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs(), description="The real digits.")
    generator_optimizer: OptimizerUnion = Field(default=_ADAM, description="What updates the generator.")
    critic_optimizer: OptimizerUnion = Field(default=_ADAM, description="What updates the critic.")

    def build(self, machine: MachineConfig) -> "DigitsGan":
        from .experiment import DigitsGan

        return DigitsGan(self, machine)
