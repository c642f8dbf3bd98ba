"""A small convolutional network."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from .activations import build_activation


class CNN(nn.Module):
    """`body` (convolutions that each halve the image, then one hidden layer) and `head` (the linear output layer).

    Takes images `[N, channels, height, width]` of the size it was built for, gives `[N, num_outputs]`. Halving rounds
    up, so an image of any size survives any number of convolutions.
    """

    prefers_channels_last = True
    """It is faster so; `--channels_last=auto` asks for this."""

    def __init__(
        self,
        input_shape: tuple[int, int, int],
        channels: Sequence[int],
        num_outputs: int,
        *,
        kernel_size: int = 3,
        hidden_size: int = 64,
        activation: str = "relu",
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        num_inputs, height, width = input_shape
        layers: list[nn.Module] = []
        for before, after in pairwise([num_inputs, *channels]):
            layers += [
                nn.Conv2d(before, after, kernel_size, padding=kernel_size // 2),
                build_activation(activation),
                nn.MaxPool2d(2, ceil_mode=True),
            ]
            height, width = -(-height // 2), -(-width // 2)
        layers += [nn.Flatten(), nn.Linear(channels[-1] * height * width, hidden_size), build_activation(activation)]
        if dropout:
            layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(hidden_size, num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))
