"""The norm of gradients, and clipping by it."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.utils import clip_grads_with_norm_

from .distributed.parts import is_shared_out, whole

_CHECKS: dict[torch.device, tuple[Tensor, Tensor]] = {}
"""What tells of a bad gradient, 0 until there is one, and the scale; on each device."""


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


def are_finite(gradients: list[Tensor]) -> bool:
    """Whether no gradient has a NaN or an infinity, which waits for the device."""
    if not {Tensor}.issuperset(map(type, gradients)) and any(map(is_shared_out, gradients)):
        return bool(gradient_norm(gradients).isfinite())  # each rank knows of its part of them
    if not gradients:
        return True
    if gradients[0].is_cpu:
        try:
            # One pass at the speed of memory: a sum is finite only where all that it adds up is.
            if math.isfinite(sum([gradient.sum().item() for gradient in gradients])):
                return True
        except TypeError:  # complex numbers
            pass
        return all([bool(gradient.isfinite().all()) for gradient in gradients])
    device = gradients[0].device
    if any(map(torch.is_complex, gradients)) or any([gradient.device != device for gradient in gradients]):
        return bool(gradient_norm(gradients).isfinite())
    if device not in _CHECKS:
        with torch.inference_mode(False):
            _CHECKS[device] = torch.zeros((), device=device), torch.ones((), device=device)
    found, one = _CHECKS[device]
    # The check of torch.amp.GradScaler, with a scale of one.
    torch._amp_foreach_non_finite_check_and_unscale_(gradients, found, one)  # pyright: ignore[reportPrivateImportUsage]
    if found.item():
        del _CHECKS[device]
        return False
    return True


def finite_norm(gradients: list[Tensor]) -> Tensor | float:
    """The norm of all gradients: where they are on the CPU as a number, in half of `gradient_norm`'s time.

    It is finite only if every gradient is, and may differ from `gradient_norm` in its last digits.
    """
    if not gradients or gradients[0].device.type != "cpu" or is_shared_out(gradients[0]):
        return gradient_norm(gradients)
    norms = torch._foreach_norm(gradients)  # pyright: ignore[reportPrivateImportUsage]
    return math.hypot(*[norm.item() for norm in norms])


def gradient_norm(gradients: list[Tensor]) -> Tensor:
    """The norm of all gradients as if they were one vector, bit for bit that of torch's clip_grad_norm_.

    It is finite only if every gradient is.
    """
    if not gradients:
        return torch.zeros(())
    norms = torch._foreach_norm(gradients)  # pyright: ignore[reportPrivateImportUsage]
    device = norms[0].device
    total = torch.linalg.vector_norm(torch.stack([norm.to(device) for norm in norms]))
    return whole(total)
