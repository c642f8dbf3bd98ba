"""What may be said about the characters experiment."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from labwright.args import ExperimentArgs, MachineConfig
from labwright.datasets import TextDataArgs
from labwright.models import ModelArgs
from labwright.optimizers import AdamArgs, OptimizerUnion
from labwright.schedulers import CosineArgs, SchedulerUnion

if TYPE_CHECKING:
    from .experiment import Characters
    from .gru import GRU


class GRUArgs(ModelArgs):
    """Gated recurrent units (Cho et al., 2014) over embedded characters."""

    kind: Literal["gru"] = "gru"
    embedding_size: int = Field(default=64, gt=0, description="Numbers that stand for a character.")
    hidden_size: int = Field(default=192, gt=0, description="Units of each layer.")
    num_layers: int = Field(default=1, gt=0, description="Layers of units, one upon the other.")

    def build(self, input_shape: tuple[int, ...], num_outputs: int) -> "GRU":
        from .gru import GRU

        return GRU(num_outputs, self.embedding_size, self.hidden_size, self.num_layers)


class CharactersArgs(ExperimentArgs):
    """A language model of the characters of a text: perplexity, and text sampled after each epoch."""

    epochs: int = Field(default=6, ge=0, description="Passes over the text; 0 evaluates only.")
    batch_size: int = Field(default=32, gt=0, description="Stretches of text per optimizer step.")
    gradient_clipping: float | None = Field(
        default=1.0, gt=0, description="Largest norm of the gradients; larger ones are scaled down."
    )
    temperature: float = Field(
        default=0.7, ge=0, allow_inf_nan=False, description="How freely text is sampled; 0: the likeliest characters."
    )
    sample_length: int = Field(default=300, ge=1, description="Characters of each sampled text.")
    model: GRUArgs = Field(default=GRUArgs(), description="The language model.")
    dataset: TextDataArgs = Field(default=TextDataArgs(), description="The text.")
    optimizer: OptimizerUnion = Field(default=AdamArgs(learning_rate=5e-3), description="What updates the weights.")
    scheduler: SchedulerUnion = Field(
        default=CosineArgs(warmup_epochs=0.5), description="How the learning rate changes."
    )

    def build(self, machine: MachineConfig) -> "Characters":
        from .experiment import Characters

        return Characters(self, machine)
