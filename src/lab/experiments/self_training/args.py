"""What may be said about the self_training experiment."""

from typing import TYPE_CHECKING

from pydantic import Field

from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import DigitsDataArgs
from labwright.models import CNNArgs, ModelUnion
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion

if TYPE_CHECKING:
    from .experiment import SelfTraining


class SelfTrainingArgs(ExperimentArgs):
    """Handwritten digits of which few are labelled: a teacher, the average of the student, labels the others.

    The student learns these labels from noisy images, so `white_noise_sd` says how far its answers have to be
    consistent; `ema_decay` says how slowly the teacher follows.
    """

    epochs: int = Field(default=40, ge=0, description="Passes over the unlabelled data; 0 evaluates only.")
    batch_size: int = Field(default=64, gt=0, description="Labelled and as many unlabelled samples per step.")
    best_model_metric: str = Field(
        default="mean/accuracy", min_length=1, description="Metric that decides; mean: over the clean and noisy digits."
    )
    ema_decay: float | None = Field(
        default=0.99, gt=0, lt=1, description="Decay of the average that is the teacher; none: the student itself is."
    )
    white_noise_sd: float = Field(
        default=0.7, ge=0, allow_inf_nan=False, description="SD of the noise that the student sees images through."
    )
    num_labels: int = Field(default=40, ge=1, description="Training samples that keep their label.")
    confidence: float = Field(
        default=0.9, ge=0, le=1, description="How sure the teacher must be for its label to be used."
    )
    pseudo_weight: float = Field(default=1.0, ge=0, description="Weight of the loss on the teacher's labels.")
    val_noise_sd: float = Field(default=1.0, ge=0, description="SD of the noise on the second validation set.")
    model: ModelUnion = Field(default=CNNArgs(), description="Student and, averaged, teacher.")
    dataset: DigitsDataArgs = Field(default=DigitsDataArgs(), description="The data, fully labelled.")
    optimizer: OptimizerUnion = Field(
        default=AdamArgs(learning_rate=3e-3), description="What updates the student's weights."
    )
    scheduler: SchedulerUnion = Field(default=ConstantArgs(), description="How the learning rate changes.")

    def build(self, machine: MachineConfig) -> "SelfTraining":
        from .experiment import SelfTraining

        return SelfTraining(self, machine)
