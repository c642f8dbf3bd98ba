"""Trying an experiment out without a run: its speed, its learning rate, its batch size."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .batch_sizes import BatchSizes as BatchSizes
    from .batch_sizes import Tried as Tried
    from .batch_sizes import find_batch_size as find_batch_size
    from .learning_rates import Sweep as Sweep
    from .learning_rates import find_learning_rate as find_learning_rate
    from .tax import Tax as Tax
    from .tax import measure_tax as measure_tax
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "BatchSizes": ".batch_sizes",
            "Sweep": ".learning_rates",
            "Tax": ".tax",
            "Tried": ".batch_sizes",
            "find_batch_size": ".batch_sizes",
            "find_learning_rate": ".learning_rates",
            "measure_tax": ".tax",
        },
    )
