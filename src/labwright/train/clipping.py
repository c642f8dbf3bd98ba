"""The norm of gradients, and clipping by it."""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients together so that their norm is at most `max_norm`; returns the norm before that.

    The norm stays on the device. Where it is not finite, so are the gradients: whoever applies them decides.
    """
    parameters = list(parameters)
    norm = gradient_norm(gradients_of(parameters))
    clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def gradients_of(parameters: Iterable[Tensor]) -> list[Tensor]:
    """The gradients that there are, to be read and changed in place; of a sparse one its values."""
    gradients: list[Tensor] = []
    for parameter in parameters:
        gradient = parameter.grad
        if gradient is None:
            continue
        if gradient.is_sparse:
            parameter.grad = gradient = gradient.coalesce()  # each index once, so that its values are its norm
            gradient = gradient.values()
        gradients.append(gradient)
    return gradients


def gradient_norm(gradients: list[Tensor]) -> Tensor:
    """The norm of all gradients as if they were one vector, bit for bit that of torch's clip_grad_norm_.

    It is finite only if every gradient is.
    """
    if not gradients:
        return torch.zeros(())
    norms = torch._foreach_norm(gradients)  # pyright: ignore[reportPrivateImportUsage]
    device = norms[0].device
    return torch.linalg.vector_norm(torch.stack([norm.to(device) for norm in norms]))
