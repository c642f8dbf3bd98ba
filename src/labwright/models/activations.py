"""Activations by name."""

from torch import nn

_ACTIVATIONS: dict[str, type[nn.Module]] = {
    "gelu": nn.GELU,
    "identity": nn.Identity,
    "relu": nn.ReLU,
    "sigmoid": nn.Sigmoid,
    "tanh": nn.Tanh,
}


def build_activation(name: str) -> nn.Module:
    """A new activation layer; `name` is one of those that the args allow."""
    return _ACTIVATIONS[name]()
