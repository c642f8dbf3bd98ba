"""Gradient clipping."""

from collections.abc import Iterable

from torch import Tensor
from torch.nn.utils import clip_grad_norm_


def clip_gradients(parameters: Iterable[Tensor], max_norm: float) -> Tensor:
    """Scale all gradients together so that their norm is at most `max_norm`; returns the norm before that.

    The norm stays on the device. Where it is not finite, so are the gradients: whoever applies them decides.
    """
    return clip_grad_norm_(parameters, max_norm)
