"""What may be said about the jax_mlp experiment."""

from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import DigitsDataArgs

if TYPE_CHECKING:
    from .experiment import JaxMlp


class JaxMlpArgs(ExperimentArgs):
    """Handwritten digits, 8x8, with a network written in JAX; needs no PyTorch."""

    hidden_sizes: list[Annotated[int, Field(gt=0)]] = Field(default=[64], description="Units of each hidden layer.")
    learning_rate: float = Field(default=3e-3, gt=0, description="Step size of Adam.")
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs(), description="The data.")

    def build(self, machine: MachineConfig) -> "JaxMlp":
        from labwright.trackers.base import require_package

        require_package("jax", 'pip install "labwright[jax]"')
        from .experiment import JaxMlp

        return JaxMlp(self, machine)
