"""torch.compile: whether it works here, what is compiled, and what its failures mean."""

import importlib.util
import os
import shutil
import sys
from collections.abc import Callable
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn

from labwright.args.errors import UserError

CallableT = TypeVar("CallableT", bound=Callable[..., Any])

_COMPILERS = {"darwin": "clang++", "win32": "cl"}
"""What torch.compile calls where CXX names nothing; elsewhere g++."""


def require_compiler(device: torch.device) -> None:
    """Compile the simplest function, so that what is missing shows before a run begins.

    What was compiled before is forgotten: torch compiles one function only so many times in a process.

    Raises:
        UserError: torch.compile does not work here.
    """
    missing = _missing_compiler(device)
    if missing is not None:
        raise UserError(f"--compile: {missing}; install it, or leave --compile out")
    torch.compiler.reset()
    try:
        compiled(_plus_one)(torch.zeros(2, device=device))
    except Exception as error:
        raise UserError(f"--compile does not work on {device} here: {reason(error)}; leave --compile out") from error


def compiled(function: CallableT) -> CallableT:
    """`function` compiled for each shape that it is called with: twice where the last batch is shorter.

    One kernel for all sizes would be slower, and might depend on which size came first: a run that is taken up again
    at the last batch would then not repeat itself to the bit.
    """
    return cast(CallableT, torch.compile(function, dynamic=False))


def compile_in_place(model: nn.Module) -> None:
    """Compile the model, and each of its parts for who calls them one by one; names of weights stay as they are."""
    for module in (model, *model.children()):
        module.compile(dynamic=False)


def is_of_compiler(error: BaseException) -> bool:
    """Whether torch.compile failed, rather than what it compiled."""
    is_its_own = any(kind.__module__.startswith(("torch._dynamo", "torch._inductor")) for kind in type(error).__mro__)
    return is_its_own or (isinstance(error, RuntimeError) and str(error).startswith("torch.compile "))


def reason(error: BaseException) -> str:
    """Why, in a line: torch wraps the error that says it."""
    inner = getattr(error, "inner_exception", None) or error
    return (str(inner).strip() or type(inner).__name__).splitlines()[0]


def _missing_compiler(device: torch.device) -> str | None:
    """What is known to be missing; None: nothing, as far as can be seen."""
    if device.type == "cpu":
        compiler = os.environ.get("CXX", _COMPILERS.get(sys.platform, "g++"))
        if shutil.which(compiler) is None:
            return f"torch.compile needs the C++ compiler {compiler}, which is not there (CXX names another)"
    if device.type in ("cuda", "xpu") and importlib.util.find_spec("triton") is None:
        return f"torch.compile needs the package triton on {device.type}, which is not there"
    return None


def _plus_one(x: Tensor) -> Tensor:
    return x + 1
