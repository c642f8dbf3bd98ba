"""Models that gradients pass through without staying."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import nn


@contextmanager
def frozen(*modules: nn.Module) -> Iterator[None]:
    """Within the block, a forward pass through `modules` leaves no gradient in their parameters.

    What they are given still gets its gradients, so a generator learns from a critic that does not change:

        with frozen(critic):
            loss = -critic(generator(noise)).mean()
        stepper.update(loss, generator_optimizer)

    Afterwards each parameter has the `requires_grad` it had before. Buffers, such as the running statistics of a
    BatchNorm in training mode, still follow what passes.
    """
    before = [(parameter, parameter.requires_grad) for module in modules for parameter in module.parameters()]
    try:
        for parameter, _ in before:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter, requires_grad in before:
            parameter.requires_grad_(requires_grad)
