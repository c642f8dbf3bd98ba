"""Whether a run will end well, before hours are spent: everything tried once, and nothing left changed."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .checks import Check as Check
    from .checks import Preflight as Preflight
    from .quick import WillFail as WillFail
    from .quick import quick_preflight as quick_preflight
    from .thorough import run_preflight as run_preflight
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "Check": ".checks",
            "Preflight": ".checks",
            "WillFail": ".quick",
            "quick_preflight": ".quick",
            "run_preflight": ".thorough",
        },
    )
