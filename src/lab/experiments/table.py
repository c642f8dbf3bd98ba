"""A table: diabetes progression from ten numbers a patient, or your own CSV file."""

from pydantic import Field

from labwright import Experiment
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import CsvDataArgs, DiabetesDataArgs
from labwright.models import MLPArgs, ModelUnion
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion


class TableArgs(ExperimentArgs):
    """A table: diabetes progression from ten numbers a patient, or your own CSV file."""

    model: ModelUnion = Field(default=MLPArgs(hidden_sizes=[32]), description="The model.")
    dataset: DiabetesDataArgs | CsvDataArgs = Field(default=DiabetesDataArgs(), description="The data.")
    optimizer: OptimizerUnion = Field(default=AdamArgs(), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=ConstantArgs(), description="How the learning rate changes.")

    def build(self, machine: MachineConfig) -> "Experiment[TableArgs]":
        return Experiment(self, machine)
