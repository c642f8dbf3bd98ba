"""What may be said about the stock models. No torch until something is built."""

from abc import abstractmethod
from math import prod
from typing import TYPE_CHECKING, Literal

from pydantic import ConfigDict, Field, PositiveInt

from labwright.args import Args, UserError

if TYPE_CHECKING:
    from torch import nn

    from .cnn import CNN
    from .mlp import MLP

Activation = Literal["gelu", "identity", "relu", "sigmoid", "tanh"]


class ModelArgs(Args):
    """Base of every model's args."""

    model_config = ConfigDict(allow_inf_nan=False)
    on_resume = "forbidden"  # the weights of a run fit its own model

    @abstractmethod
    def build(self, input_shape: tuple[int, ...], num_outputs: int) -> "nn.Module":
        """A new model from batches of `[N, *input_shape]` to `[N, num_outputs]`, randomly initialised."""


class MLPArgs(ModelArgs):
    """Fully connected network (Rumelhart, Hinton & Williams, 1986)."""

    kind: Literal["mlp"] = "mlp"
    hidden_sizes: list[PositiveInt] = Field(default=[64], description="Units of each hidden layer; []: linear.")
    activation: Activation = Field(default="relu", description="Non-linearity after each hidden layer.")
    batch_norm: bool = Field(default=False, description="Normalise each hidden layer over the batch before activation.")
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of hidden units zeroed at random in training.")

    def build(self, input_shape: tuple[int, ...], num_outputs: int) -> "MLP":
        from .mlp import MLP

        return MLP(
            prod(input_shape),
            self.hidden_sizes,
            num_outputs,
            activation=self.activation,
            batch_norm=self.batch_norm,
            dropout=self.dropout,
        )


class CNNArgs(ModelArgs):
    """Small convolutional network in the manner of LeNet (LeCun et al., 1998)."""

    kind: Literal["cnn"] = "cnn"
    channels: list[PositiveInt] = Field(
        default=[16, 32], min_length=1, description="Feature maps of each convolution; each one halves the image."
    )
    kernel_size: Literal[1, 3, 5, 7] = Field(default=3, description="Width and height of every filter, in pixels.")
    hidden_size: int = Field(default=64, gt=0, description="Units of the fully connected layer before the output.")
    activation: Activation = Field(
        default="relu", description="Non-linearity after each convolution and the fully connected layer."
    )
    dropout: float = Field(default=0.0, ge=0, lt=1, description="Share of hidden units zeroed at random in training.")

    def build(self, input_shape: tuple[int, ...], num_outputs: int) -> "CNN":
        from .cnn import CNN

        if len(input_shape) != 3:
            raise UserError(
                "the model cnn needs images of shape [channels, height, width], "
                f"but these samples have shape {list(input_shape)}; the model mlp takes any shape"
            )
        channels, height, width = input_shape
        return CNN(
            (channels, height, width),
            self.channels,
            num_outputs,
            kernel_size=self.kernel_size,
            hidden_size=self.hidden_size,
            activation=self.activation,
            dropout=self.dropout,
        )


ModelUnion = MLPArgs | CNNArgs
