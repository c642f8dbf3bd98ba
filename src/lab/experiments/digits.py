"""Handwritten digits, 8x8, ten classes; the data ships with scikit-learn."""

from pydantic import Field

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import DigitsDataArgs, ShardsDataArgs
from labwright.models import MLPArgs, ModelUnion
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion


class DigitsArgs(ExperimentArgs):
    """Handwritten digits, 8x8, ten classes; the data ships with scikit-learn."""

    model: ModelUnion = Field(default=MLPArgs(hidden_sizes=[64]), description="The model.")
    dataset: DigitsDataArgs | ShardsDataArgs = Field(default=DigitsDataArgs(), description="The data.")
    optimizer: OptimizerUnion = Field(default=AdamArgs(), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=ConstantArgs(), description="How the learning rate changes.")

    def build(self, machine: MachineConfig) -> "Experiment[DigitsArgs]":
        return Experiment(self, machine)
