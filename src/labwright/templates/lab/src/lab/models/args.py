"""What may be said about the models."""

from math import prod
from typing import TYPE_CHECKING, Literal

from labwright.models import ModelArgs
from pydantic import Field, PositiveInt

if TYPE_CHECKING:
    from .sine_mlp import SineMLP


class SineMLPArgs(ModelArgs):
    """Fully connected network with sine activations (Sitzmann et al., 2020)."""

    kind: Literal["sine_mlp"] = "sine_mlp"
    hidden_sizes: list[PositiveInt] = Field(default=[64, 64], description="Units of each hidden layer.")
    frequency: float = Field(default=3.0, gt=0, description="Factor on the first layer's input to the sine.")

    def build(self, input_shape: tuple[int, ...], num_outputs: int) -> "SineMLP":
        from .sine_mlp import SineMLP

        return SineMLP(prod(input_shape), self.hidden_sizes, num_outputs, frequency=self.frequency)
