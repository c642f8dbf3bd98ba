"""Metrics over a whole split, weighted by samples, summed on the device."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .base import Metric as Metric
    from .base import WeightedMean as WeightedMean
    from .metric_set import MetricSet as MetricSet
    from .stock import Accuracy as Accuracy
    from .stock import MeanAbsoluteError as MeanAbsoluteError
    from .stock import MeanSquaredError as MeanSquaredError
    from .stock import metrics_for as metrics_for
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Accuracy": ".stock",
            "MeanAbsoluteError": ".stock",
            "MeanSquaredError": ".stock",
            "Metric": ".base",
            "MetricSet": ".metric_set",
            "WeightedMean": ".base",
            "metrics_for": ".stock",
        },
    )
