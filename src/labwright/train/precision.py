"""Mixed precision: where operations compute in 16 bits, and the loss scale that 16-bit floats need."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import nn

Precision: TypeAlias = Literal["fp32", "bf16", "fp16"]

AUTOCAST_DTYPES: dict[Precision, torch.dtype] = {"bf16": torch.bfloat16, "fp16": torch.float16}

_NOTHING = nullcontext()


def autocast(precision: Precision, model: nn.Module, device: torch.device | None) -> AbstractContextManager[object]:
    """A block in which `model` computes in `precision`, its weights staying as they are; on its device, if None."""
    if precision == "fp32":
        return _NOTHING
    if device is None:
        first = next(model.parameters(), None)
        device = torch.get_default_device() if first is None else first.device
    return torch.autocast(device.type, AUTOCAST_DTYPES[precision])


@dataclass(slots=True)
class LossScale:
    """The factor on the loss that lifts its small gradients into what fp16 can hold (Micikevicius et al., 2018).

    It is searched for with the constants of torch.amp.GradScaler, but in plain numbers: whoever uses it reads each
    step anyway. One serves one optimizer, so that a window that is still open never sees its scale change.
    """

    value: float = 2.0**16
    num_good_steps: int = 0
    """Since it last changed."""

    def back_off(self) -> None:
        """The gradients overflowed."""
        self.value /= 2
        self.num_good_steps = 0

    def keep_or_grow(self) -> None:
        """A step went well; after enough of them, try for more."""
        self.num_good_steps += 1
        if self.num_good_steps == 2000:
            self.value *= 2
            self.num_good_steps = 0
