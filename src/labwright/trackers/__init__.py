"""Where a run is also recorded: Weights & Biases, TensorBoard, or a tracker of your own."""

from typing import TYPE_CHECKING

from labwright.lazy import lazy_names

if TYPE_CHECKING:
    from .base import GuardedTrackers as GuardedTrackers
    from .base import RunInfo as RunInfo
    from .base import Status as Status
    from .base import Tracker as Tracker
    from .tensorboard import TensorBoardTracker as TensorBoardTracker
    from .wandb import WandbTracker as WandbTracker
else:
    __getattr__, __dir__, __all__ = lazy_names(
        __name__,
        {
            "GuardedTrackers": ".base",
            "RunInfo": ".base",
            "Status": ".base",
            "TensorBoardTracker": ".tensorboard",
            "Tracker": ".base",
            "WandbTracker": ".wandb",
        },
    )
