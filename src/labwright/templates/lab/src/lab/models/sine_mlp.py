"""A network whose hidden layers end in a sine."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class SineMLP(nn.Module):
    """`sin` after every hidden layer; a higher `frequency` draws finer boundaries."""

    def __init__(self, num_inputs: int, hidden_sizes: Sequence[int], num_outputs: int, *, frequency: float) -> None:
        super().__init__()
        sizes = [num_inputs, *hidden_sizes]
        self.hidden = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.head = nn.Linear(sizes[-1], num_outputs)
        self.frequency = frequency

    def forward(self, x: Tensor) -> Tensor:
        x = x.flatten(1) * self.frequency
        for layer in self.hidden:
            x = torch.sin(layer(x))
        return self.head(x)
