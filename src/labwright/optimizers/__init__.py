"""Floor 2: stock optimizers, and which parameters get which settings."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .args import AdagradArgs as AdagradArgs
    from .args import AdamArgs as AdamArgs
    from .args import AdamWArgs as AdamWArgs
    from .args import OptimizerUnion as OptimizerUnion
    from .args import RMSpropArgs as RMSpropArgs
    from .args import SGDArgs as SGDArgs
    from .base import FusedOptimizerArgs as FusedOptimizerArgs
    from .base import GroupArgs as GroupArgs
    from .base import OptimizerArgs as OptimizerArgs
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "AdagradArgs": ".args",
            "AdamArgs": ".args",
            "AdamWArgs": ".args",
            "FusedOptimizerArgs": ".base",
            "GroupArgs": ".base",
            "OptimizerArgs": ".base",
            "OptimizerUnion": ".args",
            "RMSpropArgs": ".args",
            "SGDArgs": ".args",
        },
    )
