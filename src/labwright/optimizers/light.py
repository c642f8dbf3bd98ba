"""Torch's optimizers without torch's compiler.

Torch marks the methods below as nothing to compile, and the mark imports `torch._dynamo` (a second of CPU time) when
one is first called, in processes too that compile nothing. Each marked method has the one that it wraps as
`__wrapped__`, as `functools.wraps` documents; an optimizer built here calls that.
"""

import inspect
from collections.abc import Callable
from types import MethodType
from typing import Any, TypeVar

import torch
from torch.optim import Optimizer

from .direct import has_direct_step, step_directly

OptimizerT = TypeVar("OptimizerT", bound=Optimizer)

_MARKED = ("add_param_group", "load_state_dict", "state_dict", "zero_grad")


def build_light(kind: type[OptimizerT], parameters: Any, **settings: Any) -> OptimizerT:
    """`kind(parameters, **settings)`, one of torch's own optimizers: same class, same steps, hooks and state.

    Its copies, and what is unpickled of it, are built the usual way.
    """
    optimizer = kind.__new__(kind)
    if _is_marked(kind):
        for name in _MARKED:
            setattr(optimizer, name, MethodType(inspect.unwrap(getattr(kind, name)), optimizer))
        setattr(optimizer, "step", MethodType(_step_of(kind), optimizer))  # noqa: B010
    optimizer.__init__(parameters, **settings)
    return optimizer


def _step_of(kind: type[Optimizer]) -> Callable[..., Any]:
    """Its step. What torch puts around it, for hooks and profilers, takes as long as a kernel: left out where there
    are none."""
    plain = torch.no_grad()(inspect.unwrap(kind.step))
    is_direct = has_direct_step(kind)
    watched = kind.profile_hook_step(plain)
    try:
        from torch.optim.optimizer import (
            _global_optimizer_post_hooks,
            _global_optimizer_pre_hooks,
        )

        is_profiled = torch.autograd._profiler_enabled  # pyright: ignore[reportPrivateImportUsage]
    except (ImportError, AttributeError):  # another torch
        return watched

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        is_watched = (
            self._optimizer_step_pre_hooks
            or self._optimizer_step_post_hooks
            or _global_optimizer_pre_hooks
            or _global_optimizer_post_hooks
            or is_profiled()
        )
        if is_watched:
            return watched(self, *args, **kwargs)
        if is_direct and not args and not kwargs and step_directly(self):
            return None
        return plain(self, *args, **kwargs)

    return step


def _is_marked(kind: type[Optimizer]) -> bool:
    """Whether this torch is as described above; of any other the optimizers are left as they are."""
    marked = (getattr(kind, name, None) for name in (*_MARKED, "step"))
    return hasattr(kind, "profile_hook_step") and all(hasattr(method, "__wrapped__") for method in marked)
