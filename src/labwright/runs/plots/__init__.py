"""Pictures of a run, drawn from plain data. Importing any name here imports no matplotlib: drawing does."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .bars import plot_bars as plot_bars
    from .batch_sizes import BatchPoint as BatchPoint
    from .batch_sizes import plot_batch_sizes as plot_batch_sizes
    from .confusion import plot_confusion as plot_confusion
    from .curve import plot_curve as plot_curve
    from .embedding import plot_embedding as plot_embedding
    from .histograms import plot_batch_histograms as plot_batch_histograms
    from .history import plot_history as plot_history
    from .image_grid import plot_image_grid as plot_image_grid
    from .image_rows import plot_image_rows as plot_image_rows
    from .learning_rates import plot_learning_rates as plot_learning_rates
    from .neighbours import plot_neighbours as plot_neighbours
    from .overlay import plot_overlay as plot_overlay
    from .predictions import choose_mistakes as choose_mistakes
    from .predictions import plot_mistakes as plot_mistakes
    from .scatter import plot_regression as plot_regression
    from .text_samples import plot_text_samples as plot_text_samples
    from .throttle import ThrottledPlot as ThrottledPlot
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "BatchPoint": ".batch_sizes",
            "ThrottledPlot": ".throttle",
            "choose_mistakes": ".predictions",
            "plot_bars": ".bars",
            "plot_batch_histograms": ".histograms",
            "plot_batch_sizes": ".batch_sizes",
            "plot_confusion": ".confusion",
            "plot_curve": ".curve",
            "plot_embedding": ".embedding",
            "plot_history": ".history",
            "plot_image_grid": ".image_grid",
            "plot_image_rows": ".image_rows",
            "plot_learning_rates": ".learning_rates",
            "plot_mistakes": ".predictions",
            "plot_neighbours": ".neighbours",
            "plot_overlay": ".overlay",
            "plot_regression": ".scatter",
            "plot_text_samples": ".text_samples",
        },
    )
