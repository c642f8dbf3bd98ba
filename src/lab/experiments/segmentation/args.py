"""What may be said about the segmentation experiment."""

from typing import TYPE_CHECKING

from pydantic import Field

from lab.models.args import UNetArgs
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import AugmentArgs, ShapesDataArgs, ShardsDataArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import CosineArgs, SchedulerUnion

if TYPE_CHECKING:
    from .experiment import Segmentation


class SegmentationArgs(ExperimentArgs):
    """Discs, squares and triangles, found pixel by pixel over handwritten digits."""

    epochs: int = Field(default=15, ge=0, description="Passes over the training data; 0 evaluates only.")
    batch_size: int = Field(default=16, gt=0, description="Images per optimizer step.")
    best_model_metric: str = Field(default="dice", min_length=1, description="Metric that decides which epoch is best.")
    metrics: dict[str, list[str]] = Field(default={"segmentation": ["dice", "iou"]}, description="Metrics by group.")
    model: UNetArgs = Field(default=UNetArgs(), description="From an image to the logits of its pixels.")
    dataset: ShapesDataArgs | ShardsDataArgs = Field(
        default=ShapesDataArgs(), description="The images and their masks."
    )
    augment: AugmentArgs = Field(
        default=AugmentArgs(horizontal_flip=True, vertical_flip=True), description="Changes of training images."
    )
    optimizer: OptimizerUnion = Field(default=AdamArgs(learning_rate=2e-3), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=CosineArgs(), description="How the learning rate changes.")

    def build(self, machine: MachineConfig) -> "Segmentation":
        from .experiment import Segmentation

        return Segmentation(self, machine)
