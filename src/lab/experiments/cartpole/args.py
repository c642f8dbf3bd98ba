"""What may be said about the cartpole experiment."""

from typing import TYPE_CHECKING

from pydantic import Field

from labwright.args import ExperimentArgs, MachineConfig
from labwright.models import MLPArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import ConstantArgs, SchedulerUnion

if TYPE_CHECKING:
    from .experiment import Cartpole


class CartpoleArgs(ExperimentArgs):
    """A pole to be balanced on a cart that is pushed left or right: REINFORCE (Williams, 1992), without a dataset."""

    epochs: int = Field(default=10, ge=0, description="Rounds of training and evaluation; 0 evaluates only.")
    batch_size: int = Field(default=16, gt=0, description="Episodes played at once, for one step of the optimizer.")
    best_model_metric: str = Field(
        default="reward", min_length=1, description="Metric that decides which epoch is best; reward means val/reward."
    )
    train_episodes: int = Field(default=160, ge=1, description="Episodes of training per epoch, actions by chance.")
    eval_episodes: int = Field(
        default=50, ge=1, description="Episodes of validation, and of the test, with the likelier action always."
    )
    max_steps: int = Field(default=500, ge=1, description="Steps after which an episode ends, however well it goes.")
    discount: float = Field(default=0.99, gt=0, le=1, description="What a reward counts per step that it lies ahead.")
    model: MLPArgs = Field(default=MLPArgs(hidden_sizes=[32], activation="tanh"), description="The policy.")
    optimizer: OptimizerUnion = Field(default=AdamArgs(learning_rate=5e-3), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(default=ConstantArgs(), description="How the learning rate changes.")

    def build(self, machine: MachineConfig) -> "Cartpole":
        from .experiment import Cartpole

        return Cartpole(self, machine)
