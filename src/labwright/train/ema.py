"""Averaged weights, which often do better than the last ones."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from labwright.args.errors import UserError

from .distributed.parts import is_shared_out, whole


class EMA:
    """An exponential moving average of a model's weights (Polyak & Juditsky, 1992; Tarvainen & Valpola, 2017).

    It begins as the model is now. After step t (1, 2, ...), if `every_n_steps` = n divides t,

        average = d * average + (1 - d) * weights    where d = (decay * min(1, t / warmup_steps)) ** n

    so `decay` is that of one step, whatever the interval. The warm-up, linear from 0, lets the average forget the
    random weights it began with; a run that ends within it has been averaged over fewer steps.

    Buffers of real numbers, such as the running statistics of a BatchNorm, are averaged likewise, so that they fit the
    averaged weights; those of integers, and those that hold an infinity (a mask), are copied. `with_buffers=False`
    leaves buffers to the model. Averages of 16-bit weights are kept in 32 bits, where small steps are not lost.

    Move the model to its device first. Weights that are shared are averaged once. Where ranks share out the weights,
    each averages its part.
    """

    def __init__(
        self,
        model: nn.Module,
        decay: float = 0.999,
        warmup_steps: int = 0,
        every_n_steps: int = 1,
        with_buffers: bool = True,
    ) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay must be at least 0 and below 1, not {decay}; for example 0.999")
        if warmup_steps < 0:
            raise UserError(f"warmup_steps must be at least 0, not {warmup_steps}")
        if every_n_steps < 1:
            raise UserError(f"every_n_steps must be at least 1, not {every_n_steps}")
        self.decay = decay
        self.warmup_steps = warmup_steps
        self.every_n_steps = every_n_steps
        self.num_steps = 0
        tensors = dict(model.named_parameters())
        if with_buffers:
            tensors |= dict(model.named_buffers())
        self.averages = {name: _average_of(tensor) for name, tensor in tensors.items()}
        self._is_shared_out = any(is_shared_out(average) for average in self.averages.values())
        self._owners = _owners(model, tensors)
        self._blended = [name for name, average in self.averages.items() if _can_blend(average)]
        self._copied = [name for name, average in self.averages.items() if not _can_blend(average)]

    def decay_at(self, step: int) -> float:
        """The decay per step when `step` steps have been taken."""
        return self.decay if step >= self.warmup_steps else self.decay * step / self.warmup_steps

    @torch.no_grad()
    def update(self) -> None:
        """Count a step of the optimizer; if it is the n-th, move the averages towards the weights."""
        self.num_steps += 1
        if self.num_steps % self.every_n_steps:
            return
        weight = 1 - self.decay_at(self.num_steps) ** self.every_n_steps
        if self._blended:
            torch._foreach_lerp_(*self._pairs(self._blended), weight)  # pyright: ignore[reportPrivateImportUsage]
        if self._copied:
            torch._foreach_copy_(*self._pairs(self._copied))  # pyright: ignore[reportPrivateImportUsage]

    def _pairs(self, names: Sequence[str]) -> tuple[list[Tensor], list[Tensor]]:
        """The averages of `names`, and what the model has there now: a buffer may be a new tensor at each step."""
        averages = [self.averages[name] for name in names]
        current = [getattr(*self._owners[name]) for name in names]
        if self._is_shared_out:
            averages, current = _own_parts(averages), _own_parts(current)
        return averages, [tensor.to(average.dtype) for average, tensor in zip(averages, current, strict=True)]

    @contextmanager
    def applied(self, model: nn.Module) -> Iterator[None]:
        """Within the block `model` has the averaged weights; afterwards its own again, bit for bit.

        `model` may be another one of the same make. Weights are copied in and back in place: whatever refers to the
        model's tensors stays valid, and what the block does to them is undone.
        """
        tensors = self._tensors_of(model)
        before = [tensor.clone() for tensor in tensors]
        try:
            self.copy_to(model)
            yield
        finally:
            _copy(before, tensors)

    def copy_to(self, model: nn.Module) -> None:
        """Give `model`, this one or another of the same make, the averaged weights for good."""
        _copy(list(self.averages.values()), self._tensors_of(model))

    def _tensors_of(self, model: nn.Module) -> list[Tensor]:
        tensors = _own_parts([getattr(*owner) for owner in _owners(model, self.averages).values()])
        return [tensor.detach() for tensor in tensors]

    def state_dict(self) -> dict[str, Any]:
        """The averages and the steps counted; the tensors are those in use."""
        return {"num_steps": self.num_steps, "averages": dict(self.averages)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Continue from what `state_dict` gave for the same model."""
        saved = state["averages"]
        if differing := sorted(saved.keys() ^ self.averages.keys()):
            raise UserError(f"these averages are of another model: only one of the two has {', '.join(differing[:3])}")
        values = [saved[name] for name in self.averages]
        if self._is_shared_out:
            from .distributed.sharded import shared_out

            values = [shared_out(value, average) for value, average in zip(values, self.averages.values(), strict=True)]
        _copy(values, list(self.averages.values()))
        self.num_steps = state["num_steps"]


def _average_of(tensor: Tensor) -> Tensor:
    """Where the average of `tensor` begins."""
    average = tensor.detach().clone()
    return average.to(torch.promote_types(average.dtype, torch.float32)) if _is_real_or_complex(average) else average


def _can_blend(average: Tensor) -> bool:
    """Infinities would become NaN on the way to each other, and integers have no way."""
    return _is_real_or_complex(average) and bool(whole(average.isfinite().all()))


def _is_real_or_complex(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _owners(model: nn.Module, names: Iterable[str]) -> dict[str, tuple[nn.Module, str]]:
    """The submodule and the attribute that each dotted name stands for."""
    split = {name: name.rpartition(".") for name in names}
    return {name: (model.get_submodule(path), attribute) for name, (path, _, attribute) in split.items()}


@torch.no_grad()
def _copy(sources: list[Tensor], targets: list[Tensor]) -> None:
    if targets:
        torch._foreach_copy_(_own_parts(targets), _own_parts(sources))  # pyright: ignore[reportPrivateImportUsage]


def _own_parts(tensors: list[Tensor]) -> list[Tensor]:
    """This rank's part of each, where ranks share them."""
    return [tensor if (own := getattr(tensor, "to_local", None)) is None else own() for tensor in tensors]
