"""Floor 0: what may be said about a run, and how it is said. No torch."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .base import Args as Args
    from .errors import ArgsError as ArgsError
    from .errors import UserError as UserError
    from .experiment import ExperimentArgs as ExperimentArgs
    from .machine import MachineConfig as MachineConfig
    from .options import RunOptions as RunOptions
    from .read import parse as parse
    from .registry import Registry as Registry
    from .registry import resolve as resolve
    from .shell import completion as completion
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Args": ".base",
            "ArgsError": ".errors",
            "ExperimentArgs": ".experiment",
            "MachineConfig": ".machine",
            "Registry": ".registry",
            "RunOptions": ".options",
            "UserError": ".errors",
            "completion": ".shell",
            "parse": ".read",
            "resolve": ".registry",
        },
    )
