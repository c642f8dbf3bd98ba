"""What may be said about the mnist experiment."""

from typing import TYPE_CHECKING

from pydantic import Field

from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import MnistDataArgs, ShardsDataArgs
from labwright.models import MLPArgs, ModelUnion
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion

if TYPE_CHECKING:
    from .experiment import Mnist


class MnistArgs(ExperimentArgs):
    """Handwritten digits, 28x28, ten classes; trains on bundled digits where MNIST cannot be had."""

    model: ModelUnion = Field(default=MLPArgs(hidden_sizes=[64]), description="The classifier.")
    dataset: MnistDataArgs | ShardsDataArgs = Field(default=MnistDataArgs(), description="The images.")
    optimizer: OptimizerUnion = Field(default=AdamArgs(), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=ConstantArgs(), description="How the learning rate changes.")

    def build(self, machine: MachineConfig) -> "Mnist":
        from .experiment import Mnist

        return Mnist(self, machine)
