"""A fully connected network."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from .activations import build_activation


class MLP(nn.Module):
    """`body` (flatten, then the hidden layers) and `head` (the linear output layer).

    Takes `[N, ...]` with `input_size` values a sample, gives `[N, num_outputs]`: logits or predictions, no activation.
    """

    def __init__(
        self,
        input_size: int,
        hidden_sizes: Sequence[int],
        num_outputs: int,
        *,
        activation: str = "relu",
        batch_norm: bool = False,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        sizes = [input_size, *hidden_sizes]
        layers: list[nn.Module] = [nn.Flatten()]
        for num_inputs, num_units in pairwise(sizes):
            layers.append(nn.Linear(num_inputs, num_units))
            if batch_norm:
                layers.append(nn.BatchNorm1d(num_units))
            layers.append(build_activation(activation))
            if dropout:
                layers.append(nn.Dropout(dropout))
        self.body = nn.Sequential(*layers)
        self.head = nn.Linear(sizes[-1], num_outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.body(x))
