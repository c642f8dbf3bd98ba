"""Metrics over a whole split, weighted by samples, collected on the device."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .base import Metric as Metric
    from .base import WeightedMean as WeightedMean
    from .groups import GROUPS as GROUPS
    from .groups import build_metrics as build_metrics
    from .metric_set import MetricSet as MetricSet
    from .metric_set import check_state as check_state
    from .stock import Accuracy as Accuracy
    from .stock import MeanAbsoluteError as MeanAbsoluteError
    from .stock import MeanSquaredError as MeanSquaredError
    from .stock import Perplexity as Perplexity
    from .stock import metrics_for as metrics_for
    from .stock import positive_probability as positive_probability
    from .threshold import choose_threshold as choose_threshold
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Accuracy": ".stock",
            "GROUPS": ".groups",
            "MeanAbsoluteError": ".stock",
            "MeanSquaredError": ".stock",
            "Metric": ".base",
            "MetricSet": ".metric_set",
            "Perplexity": ".stock",
            "WeightedMean": ".base",
            "build_metrics": ".groups",
            "check_state": ".metric_set",
            "choose_threshold": ".threshold",
            "metrics_for": ".stock",
            "positive_probability": ".stock",
        },
    )
