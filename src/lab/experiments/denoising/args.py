"""What may be said about the denoising experiment."""

from typing import TYPE_CHECKING

from pydantic import Field

from lab.models.args import UNetArgs
from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import DigitsDataArgs, FashionMnistDataArgs, MnistDataArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import CosineArgs, SchedulerUnion

if TYPE_CHECKING:
    from .experiment import Denoising


class DenoisingArgs(ExperimentArgs):
    """Noisy digits made clean; the noise of training is new each time, that of validation and test always the same."""

    epochs: int = Field(default=20, ge=0, description="Passes over the training data; 0 evaluates only.")
    best_model_metric: str = Field(default="psnr", min_length=1, description="Metric that decides which epoch is best.")
    metrics: dict[str, list[str]] = Field(
        default={"image_reconstruction": ["nmse", "psnr", "ssim"]}, description="Metrics by group."
    )
    white_noise_sd: float = Field(
        default=0.25, ge=0, allow_inf_nan=False, description="SD of the noise on training images; black 0, white 1."
    )
    eval_noise_sd: float = Field(
        default=0.25, gt=0, allow_inf_nan=False, description="The same of val and test; val_noisier has twice as much."
    )
    model: UNetArgs = Field(default=UNetArgs(channels=[32, 64]), description="What finds the noise in an image.")
    dataset: DigitsDataArgs | MnistDataArgs | FashionMnistDataArgs = Field(
        default=DigitsDataArgs(), description="The clean images."
    )
    optimizer: OptimizerUnion = Field(default=AdamArgs(learning_rate=2e-3), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=CosineArgs(), description="How the learning rate changes.")

    def build(self, machine: MachineConfig) -> "Denoising":
        from .experiment import Denoising

        return Denoising(self, machine)
