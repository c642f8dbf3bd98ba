"""Clothes, 28x28, ten classes (Fashion-MNIST); downloads on first use."""

from pydantic import Field

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import AugmentArgs, FashionMnistDataArgs, ShardsDataArgs
from labwright.models import CNNArgs, ModelUnion
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion


class FashionMnistArgs(ExperimentArgs):
    """Clothes, 28x28, ten classes (Fashion-MNIST); downloads on first use."""

    model: ModelUnion = Field(default=CNNArgs(), description="The model.")
    dataset: FashionMnistDataArgs | ShardsDataArgs = Field(default=FashionMnistDataArgs(), description="The data.")
    optimizer: OptimizerUnion = Field(default=AdamArgs(), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=ConstantArgs(), description="How the learning rate changes.")
    augment: AugmentArgs = Field(default=AugmentArgs(), description="Changes of training images.")

    def build(self, machine: MachineConfig) -> "Experiment[FashionMnistArgs]":
        return Experiment(self, machine)
