"""Floor 3: one run of an experiment, from what was asked to what it leaves."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .launch import Launch as Launch
    from .launch import flags_of as flags_of
    from .predictions import Predictions as Predictions
    from .predictions import plot_predictions as plot_predictions
    from .result import RunResult as RunResult
    from .run import run_session as run_session
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Launch": ".launch",
            "flags_of": ".launch",
            "Predictions": ".predictions",
            "RunResult": ".result",
            "plot_predictions": ".predictions",
            "run_session": ".run",
        },
    )
