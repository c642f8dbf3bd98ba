"""labwright: typed PyTorch experiments from the command line. Importing this imports no torch."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .api import run as run
    from .args import Args as Args
    from .args import ExperimentArgs as ExperimentArgs
    from .args import MachineConfig as MachineConfig
    from .args import RunOptions as RunOptions
    from .args import UserError as UserError
    from .bare import BareExperiment as BareExperiment
    from .cli import main as main
    from .experiment import Experiment as Experiment
    from .imported import import_run as import_run
    from .loop import Hook as Hook
    from .runs import open_run as open_run
    from .session import RunResult as RunResult
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Args": ".args",
            "BareExperiment": ".bare",
            "Experiment": ".experiment",
            "ExperimentArgs": ".args",
            "MachineConfig": ".args",
            "RunOptions": ".args",
            "RunResult": ".session",
            "UserError": ".args",
            "Hook": ".loop",
            "import_run": ".imported",
            "main": ".cli",
            "open_run": ".runs",
            "run": ".api",
        },
    )
