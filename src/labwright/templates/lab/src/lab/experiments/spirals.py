"""Which arm of a spiral does a point lie on?"""

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion
from pydantic import Field

from lab.datasets.args import SpiralDataArgs
from lab.models.args import SineMLPArgs


class SpiralsArgs(ExperimentArgs):
    """Which arm of a spiral does a point lie on? Points in the plane, classified by a sine network."""

    model: SineMLPArgs = Field(default=SineMLPArgs(), description="The classifier.")
    dataset: SpiralDataArgs = Field(default=SpiralDataArgs(), description="The points.")
    optimizer: OptimizerUnion = Field(default=AdamArgs(), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=ConstantArgs(), description="How the learning rate changes.")
    best_model_metric: str = "accuracy"

    def build(self, machine: MachineConfig) -> "Experiment[SpiralsArgs]":
        return Experiment(self, machine)  # subclass Experiment to change how it trains
