"""The fused step of torch's Adam, AdamW and SGD on the CPU, without what torch looks up again for each.

To group tensors, read settings and choose an implementation takes torch as long as the kernel takes for a small model.
Here the same kernel is called with the same tensors, so what comes of it is the same to the bit.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.optim import SGD, Adam, AdamW, Optimizer

_Group: TypeAlias = dict[str, Any]
_States: TypeAlias = Mapping[Tensor, dict[str, Any]]
_Call: TypeAlias = Callable[[], object]
_KERNELS: Any = torch
"""Where torch keeps its kernels, without promising their names: `has_direct_step` looks for them."""


class _NotOrdinary(Exception):
    """The step is one for torch."""


def has_direct_step(kind: type[Optimizer]) -> bool:
    """Whether `step_directly` knows the optimizers of exactly this class, and this torch has the kernels."""
    kernels = ("_fused_adam_", "_fused_adamw_", "_fused_sgd_", "_foreach_add_")
    return kind in _READERS and all(hasattr(_KERNELS, name) for name in kernels)


def step_directly(optimizer: Optimizer) -> bool:
    """Take an ordinary step. False, with nothing changed, leaves it to torch.

    So are first steps, sparse gradients, settings that are tensors, gradients whose scale the kernel is to take out,
    and parameters that are no plain ones on the CPU.
    """
    if hasattr(optimizer, "found_inf"):
        return False
    read = _READERS[type(optimizer)]
    try:
        calls = [call for group in optimizer.param_groups for call in read(group, optimizer.state)]
    except _NotOrdinary:
        return False
    with torch.no_grad():
        for call in calls:
            call()
    return True


def _adam(group: _Group, states: _States, is_decoupled: bool = False) -> Iterator[_Call]:
    if group["amsgrad"] or not {float}.issuperset(map(type, group["betas"])):
        raise _NotOrdinary
    beta1, beta2 = group["betas"]
    parameters, gradients = _with_gradients(group)
    if parameters:
        own = _states_of(parameters, states)
        averages, squares, steps = ([state[name] for state in own] for name in ("exp_avg", "exp_avg_sq", "step"))
        is_decoupled = group.get("decoupled_weight_decay", is_decoupled)  # torch 2.6 tells by the class alone
        kernel = _KERNELS._fused_adamw_ if is_decoupled else _KERNELS._fused_adam_
        yield partial(_KERNELS._foreach_add_, steps, 1)
        yield partial(
            kernel,
            parameters,
            gradients,
            averages,
            squares,
            [],
            steps,
            amsgrad=False,
            lr=group["lr"],
            beta1=beta1,
            beta2=beta2,
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            maximize=group["maximize"],
        )


def _sgd(group: _Group, states: _States) -> Iterator[_Call]:
    parameters, gradients = _with_gradients(group)
    if parameters:
        own = _states_of(parameters, states) if group["momentum"] != 0 else []
        buffers = [state["momentum_buffer"] for state in own]
        if not {Tensor}.issuperset(map(type, buffers)):
            raise _NotOrdinary
        yield partial(
            _KERNELS._fused_sgd_,
            parameters,
            gradients,
            buffers,
            weight_decay=group["weight_decay"],
            momentum=group["momentum"],
            lr=group["lr"],
            dampening=group["dampening"],
            nesterov=group["nesterov"],
            maximize=group["maximize"],
            is_first_step=False,
        )


_READERS: dict[type[Optimizer], Callable[[_Group, _States], Iterator[_Call]]] = {
    Adam: _adam,
    AdamW: partial(_adam, is_decoupled=True),
    SGD: _sgd,
}


def _with_gradients(group: _Group) -> tuple[list[Tensor], list[Tensor]]:
    """Parameters that have a gradient, and those."""
    if not group["fused"] or type(group["lr"]) is not float:
        raise _NotOrdinary
    parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
    gradients = [parameter.grad for parameter in parameters]
    dtype = parameters[0].dtype if parameters else None
    for parameter, gradient in zip(parameters, gradients, strict=True):
        # subclasses, such as the parts of a parameter that ranks share, have kernels of their own
        is_plain = parameter.is_cpu and type(parameter) is nn.Parameter and type(gradient) is Tensor
        if not is_plain or parameter.dtype is not dtype or gradient.dtype is not dtype or gradient.is_sparse:
            raise _NotOrdinary
    return parameters, gradients


def _states_of(parameters: list[Tensor], states: _States) -> list[dict[str, Any]]:
    own = [state for parameter in parameters if (state := states.get(parameter))]
    if len(own) < len(parameters):
        raise _NotOrdinary  # the first step makes them
    return own
