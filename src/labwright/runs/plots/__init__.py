"""Pictures of a run, drawn from plain data. Importing any name here imports no matplotlib: drawing does."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .confusion import plot_confusion as plot_confusion
    from .histograms import plot_batch_histograms as plot_batch_histograms
    from .history import plot_history as plot_history
    from .predictions import choose_mistakes as choose_mistakes
    from .predictions import plot_mistakes as plot_mistakes
    from .scatter import plot_regression as plot_regression
    from .throttle import ThrottledPlot as ThrottledPlot
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "ThrottledPlot": ".throttle",
            "plot_batch_histograms": ".histograms",
            "plot_confusion": ".confusion",
            "plot_history": ".history",
            "choose_mistakes": ".predictions",
            "plot_mistakes": ".predictions",
            "plot_regression": ".scatter",
        },
    )
